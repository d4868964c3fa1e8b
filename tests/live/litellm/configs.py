"""The files that LiteLLM and nginx are started with. relay is given LiteLLM's, as it is."""

from __future__ import annotations

from pathlib import Path

from .asking import KEY

MODELS = {
    "openai": "listed",
    "openai-wildcard": "openai/local-model",
    "hosted_vllm": "vllm",
    "lm_studio": "lmstudio",
    "anthropic": "claude",
}
"""The deployments, and by which name a client asks for each."""
ROUTES = (
    *(("chat", name) for name in ("openai", "hosted_vllm", "anthropic")),
    *(("messages", name) for name in ("openai", "openai-wildcard", "hosted_vllm", "anthropic")),
    *(("responses", name) for name in ("openai", "openai-wildcard", "hosted_vllm", "lm_studio", "anthropic")),
)
"""The client's dialect and the deployment."""
LITELLM = """\
model_list:
  - model_name: listed
    litellm_params:
      model: openai/gpt-4o
      api_base: http://127.0.0.1:{upstream}/openai/v1
      api_key: sk-openai
  - model_name: openai/*
    litellm_params:
      model: openai/*
      api_base: http://127.0.0.1:{upstream}/openai/v1
      api_key: sk-openai
  - model_name: vllm
    litellm_params:
      model: hosted_vllm/fake-model
      api_base: http://127.0.0.1:{upstream}/vllm/v1
      api_key: sk-vllm
  - model_name: lmstudio
    litellm_params:
      model: lm_studio/fake-model
      api_base: http://127.0.0.1:{upstream}/lmstudio/v1
      api_key: sk-lm
  - model_name: claude
    litellm_params:
      model: anthropic/claude-sonnet-4-5-20250929
      api_base: http://127.0.0.1:{upstream}/anthropic
      api_key: sk-anthropic
general_settings:
  master_key: {key}
  disable_spend_logs: true
  disable_error_logs: true
"""
PLAIN = """\
litellm_settings: {telemetry: false, num_retries: 0, drop_params: true}
router_settings: {disable_cooldowns: true, num_retries: 0}
"""
INTERCEPTING = """\
litellm_settings:
  telemetry: false
  drop_params: true
  callbacks: [websearch_interception]
  websearch_interception_params: {enabled_providers: [anthropic, openai], search_tool_name: none-here}
"""
"""Beside the callback with LiteLLM's own defaults: its retries and pauses."""
KINDS = {"plain": PLAIN, "intercepting": INTERCEPTING}
POOL = 10
"""Connections to one host that the intercepting LiteLLM is allowed, so that a pool can be used up."""

NGINX = """\
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error crit;
events {{ worker_connections 256; }}
http {{
    access_log off;
    gzip on;
    gzip_types text/event-stream application/json text/plain;
    gzip_proxied any;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{behind};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""
"""gzip on, and every other setting as nginx has it: the answers of its upstream are buffered."""


def litellm(kind: str, upstream: int, folder: Path) -> Path:
    path = folder / f"{kind}.yaml"
    path.write_text(LITELLM.format(upstream=upstream, key=KEY) + KINDS[kind])
    return path


def nginx(port: int, behind: int, folder: Path) -> Path:
    path = folder / f"nginx-{port}.conf"
    path.write_text(NGINX.format(folder=folder, port=port, behind=behind))
    return path
