"""The small requests that agents make beside their turns, asked of relay over an upstream of each dialect."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..scripted.server import Server
from .agents_script import Model, work
from .agents_setup import Said, claude, relaying
from .agents_tap import tapping

ANTHROPIC = {"anthropic-version": "2023-06-01", "x-api-key": "dummy"}
OPENAI = {"authorization": "Bearer dummy"}


@dataclass
class Reply:
    status: int
    body: bytes
    document: Any = None


@dataclass
class Probe:
    """One question and what it found wrong."""

    name: str
    answer: str = ""
    failures: list[str] = field(default_factory=list)


def ask(method: str, url: str, headers: dict[str, str], body: Any = None) -> Reply:
    data = None if body is None else json.dumps(body).encode()
    kind = {} if body is None else {"content-type": "application/json"}
    request = urllib.request.Request(url, data, {**headers, **kind}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            reply = Reply(answer.status, answer.read())
    except urllib.error.HTTPError as error:
        reply = Reply(error.code, error.read())
    try:
        reply.document = json.loads(reply.body)
    except ValueError:
        reply.document = None
    return reply


def head(url: str) -> Reply:
    return ask("HEAD", f"{url}/", {})


def models_for_claude(url: str) -> Reply:
    return ask("GET", f"{url}/v1/models?limit=1000", ANTHROPIC)


def models_for_codex(url: str) -> Reply:
    return ask("GET", f"{url}/v1/models", OPENAI)


def count(url: str) -> Reply:
    body = {"model": "local-model", "messages": [{"role": "user", "content": "foo"}], "tools": []}
    return ask("POST", f"{url}/v1/messages/count_tokens?beta=true", ANTHROPIC, body)


def stored(url: str) -> Reply:
    return ask("GET", f"{url}/v1/responses/resp_unknown", OPENAI)


def is_alive(reply: Reply) -> bool:
    """Relay says so itself where it translates; an upstream that is forwarded to may have no such page."""
    return reply.status in (200, 404) and not reply.body


def lists_claude_models(reply: Reply) -> bool:
    document = reply.document or {}
    entries = document.get("data") or []
    named = bool(entries) and all(one.get("type") == "model" and one.get("display_name") for one in entries)
    return reply.status == 200 and named and document.get("has_more") is False


def lists_openai_models(reply: Reply) -> bool:
    document = reply.document or {}
    entries = document.get("data") or []
    return reply.status == 200 and document.get("object") == "list" and entries[0].get("object") == "model"


def counts_or_declines(reply: Reply) -> bool:
    """A number, or the error that makes Claude Code guess by itself."""
    document = reply.document or {}
    if reply.status == 200:
        return isinstance(document.get("input_tokens"), int) and document["input_tokens"] > 0
    return reply.status == 404 and document.get("type") == "error" and "type" in document["error"]


def is_not_found(reply: Reply) -> bool:
    return reply.status == 404 and "error" in (reply.document or {})


QUESTIONS: list[tuple[str, Callable[[str], Reply], Callable[[Reply], bool]]] = [
    ("HEAD /", head, is_alive),
    ("models for Claude Code", models_for_claude, lists_claude_models),
    ("models for Codex", models_for_codex, lists_openai_models),
    ("count_tokens", count, counts_or_declines),
    ("a stored response", stored, is_not_found),
]


def probes(home: Path, flags: list[str]) -> list[Probe]:
    """Every question over every upstream, and Claude Code's own ``/context``, which counts tokens."""
    found = []
    for dialect in ("chat", "messages", "responses"):
        with (
            Server(dialect, Model(work)) as server,
            relaying(server.url, "--upstream-dialect", dialect, *flags) as relay,
            tapping(relay.url) as tap,
        ):
            for name, question, good in QUESTIONS:
                probe = Probe(f"over {dialect}: {name}")
                reply = question(tap.url)
                probe.answer = f"{reply.status} {reply.body.decode('utf-8', 'replace')[:80]}"
                if not good(reply):
                    probe.failures.append(f"{reply.status} {reply.body[:300]!r}")
                found.append(probe)
            said = claude(tap.url, "local-model", "/context", home / f"context-{dialect}")
            found.append(_context(dialect, said, tap.seen("POST", "/v1/messages/count_tokens")))
    return found


def _context(dialect: str, said: Said, asked: int) -> Probe:
    probe = Probe(f"over {dialect}: claude /context", f"{asked} counts asked for")
    texts = [str(event.get("result")) for event in said.events if event.get("type") == "result"]
    if said.status != 0 or not texts or "Context Usage" not in texts[0]:
        probe.failures.append(f"exit status {said.status}: {texts} {said.stderr[-200:]}")
    if not asked:
        probe.failures.append("no count was asked for")
    return probe
