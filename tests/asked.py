"""What a request asks, in whichever dialect it is written, read with no help from relay.

``Asked`` is the common form: the conversation as one list of steps, and what is asked for. Blanks between
texts do not count, because the dialects join texts in different ways.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]
Step = tuple[Any, ...]
"""``("user" | "assistant" | "system", "text", …)``, ``("user", "image" | "file" | "audio", …)``,
``("assistant", "call", id, name, arguments)``, ``("result", id, text)``."""


@dataclass
class Asked:
    system: str = ""
    """What stands before the conversation."""
    steps: list[Step] = field(default_factory=list)
    tools: list[tuple[str, Json]] = field(default_factory=list)
    choice: object = "auto"
    """``auto``, ``any``, ``none`` or the name of a tool."""
    parallel: bool = True
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: list[str] = field(default_factory=list)
    schema: Json | None = None
    effort: str | None = None
    user: str | None = None
    stream: bool = False

    def add(self, role: str, kind: str, *what: Any) -> None:
        """Texts of one role that follow one another are one; of an assistant's the calls come last."""
        if kind == "text":
            text = "".join(what[0].split())
            if not text:
                return
            if role == "system" and not self.steps:
                self.system += text
                return
            at = len(self.steps)
            while role == "assistant" and at and self.steps[at - 1][:2] == ("assistant", "call"):
                at -= 1
            if at and self.steps[at - 1][:2] == (role, "text"):
                self.steps[at - 1] = (role, "text", self.steps[at - 1][2] + text)
            else:
                self.steps.insert(at, (role, "text", text))
        else:
            self.steps.append((role, kind, *what))

    def results(self, found: list[tuple[str, object]]) -> None:
        """All results that follow one another, then the images in them."""
        for ident, content in found:
            texts = [value for kind, value in _parts(content) if kind == "text"]
            self.steps.append(("result", ident, "".join("".join(texts).split())))
        for _, content in found:
            for kind, value in _parts(content):
                if kind != "text":
                    self.add("user", kind, value)


def asked(dialect: str, document: Json) -> Asked:
    return {"chat": _chat, "messages": _messages, "responses": _responses}[dialect](document)


def expected(before: Asked, upstream: str) -> Asked:
    """By the rules of the upstream's dialect."""
    found = replace(before, steps=[])
    for step in before.steps:
        if upstream == "messages" and (step[0] == "result" or step[1] == "call"):
            at = 1 if step[0] == "result" else 2
            found.steps.append((*step[:at], plain_id(step[at]), *step[at + 1 :]))
        elif step[:2] != ("system", "text"):
            if step[1] == "text":
                found.add(*step)
            else:
                found.steps.append(step)
        elif upstream == "chat":
            found.system += step[2]
        else:
            found.add("user" if upstream == "messages" else "system", *step[1:])
    if upstream == "messages":
        if found.steps and found.steps[0][0] == "assistant":
            found.steps.insert(0, ("user", "text", "(start)"))
        found.effort = {"minimal": "low"}.get(found.effort or "", found.effort)
    elif found.effort == "none":
        found.effort = None  # few servers know how to switch it off
    return found


def plain_id(ident: str) -> str:
    """Anthropic's API takes letters, digits, `_` and `-`; Kimi's ids have dots and colons."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", ident):
        return ident
    return "call_" + hashlib.sha256(ident.encode()).hexdigest()[:32]


def _parts(content: object) -> Iterator[tuple[str, Any]]:
    """The parts of a message in any dialect, as kind and value; of unknown kinds only the kind."""
    for part in [content] if isinstance(content, str) else content or []:  # type: ignore[attr-defined]
        kind = "text" if isinstance(part, str) else part.get("type", "text")
        if isinstance(part, str):
            yield "text", part
        elif kind in ("text", "input_text", "output_text", "refusal"):
            yield "text", part.get("text") or part.get("refusal") or ""
        elif kind in ("image_url", "input_image", "image"):
            yield "image", _image(part)
        elif kind in ("file", "input_file", "document"):
            yield from _file(part)
        elif kind == "input_audio":
            yield "audio", part["input_audio"]["data"]
        else:
            yield kind, part


def _image(part: Json) -> str:
    if "source" in part:
        source = part["source"]
        inline = source["type"] == "base64"
        return f"data:{source['media_type']};base64,{source['data']}" if inline else str(source["url"])
    url = part["image_url"]
    return str(url["url"] if isinstance(url, dict) else url)


def _file(part: Json) -> Iterator[tuple[str, str]]:
    source = part.get("source")
    if source is None:
        yield "file", str((part.get("file") or part)["file_data"]).rpartition(",")[2]
    elif source["type"] == "base64":
        yield "file", source["data"]
    else:
        yield "text", "".join(part.get(key) or "" for key in ("title", "context"))
        inner = source.get("data") or source.get("content")
        yield from _parts(inner)


def _tool(name: str, schema: Json | None) -> tuple[str, Json]:
    return name, {"type": "object", "properties": {}, **(schema or {})}


CUSTOM = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""The schema of a tool that takes free text."""


# --- chat -------------------------------------------------------------------------------------------


def _chat(document: Json) -> Asked:
    found = Asked(
        max_tokens=document.get("max_completion_tokens") or document.get("max_tokens"),
        temperature=document.get("temperature"),
        top_p=document.get("top_p"),
        effort=document.get("reasoning_effort"),
        user=document.get("user") or document.get("safety_identifier"),
        stream=document.get("stream") is True,
        parallel=document.get("parallel_tool_calls") is not False,
    )
    stop = document.get("stop") or []
    found.stop = [stop] if isinstance(stop, str) else stop
    output = document.get("response_format") or {}
    found.schema = (output.get("json_schema") or {}).get("schema")
    group: list[tuple[str, object]] = []
    for message in document["messages"]:
        if message["role"] in ("tool", "function"):
            group.append((message.get("tool_call_id") or message.get("name"), message["content"]))
            continue
        found.results(group)
        group = []
        _chat_message(found, message)
    found.results(group)
    for tool in document.get("tools") or [{"function": one} for one in document.get("functions") or []]:
        inner = tool.get("function") or tool["custom"]
        found.tools.append(_tool(inner["name"], inner.get("parameters") if "function" in tool else CUSTOM))
    choice = document.get("tool_choice") or document.get("function_call") or "auto"
    if isinstance(choice, dict):
        choice = (choice.get("function") or choice.get("custom") or choice)["name"]
    found.choice = {"required": "any"}.get(choice, choice) if found.tools else "auto"
    return found


def _chat_message(found: Asked, message: Json) -> None:
    role = {"developer": "system"}.get(message["role"], message["role"])
    for kind, value in _parts(message.get("content")):
        if kind == "thinking":  # Mistral's; no other dialect takes what it cannot check
            continue
        found.add(role, kind, value)
    if message.get("refusal"):
        found.add(role, "text", message["refusal"])
    for call in message.get("tool_calls") or []:
        body = call.get("function") or call["custom"]
        given = body["arguments"] if "arguments" in body else json.dumps({"input": body["input"]})
        found.add("assistant", "call", call["id"], body["name"], _arguments(given))
    if message.get("function_call"):
        body = message["function_call"]
        found.add("assistant", "call", body["name"], body["name"], _arguments(body["arguments"]))


def _arguments(text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else {}
    except ValueError:
        return {"arguments": text}


# --- messages ---------------------------------------------------------------------------------------


def _messages(document: Json) -> Asked:
    found = Asked(
        max_tokens=document.get("max_tokens"),
        temperature=document.get("temperature"),
        top_p=document.get("top_p"),
        stop=document.get("stop_sequences") or [],
        user=(document.get("metadata") or {}).get("user_id"),
        stream=document.get("stream") is True,
    )
    output = document.get("output_config") or {}
    found.schema = (output.get("format") or document.get("output_format") or {}).get("schema")
    found.effort = _effort(document.get("thinking") or {}, output.get("effort"))
    for _, text in _parts(document.get("system")):
        if not text.startswith("x-anthropic-billing-header"):
            found.add("system", "text", text)
    for message in document["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        results = [block for block in blocks if block["type"] == "tool_result"]
        found.results([(block["tool_use_id"], block.get("content")) for block in results])
        for block in blocks:
            if block["type"] == "tool_use":
                found.add("assistant", "call", block["id"], block["name"], block["input"])
            elif block["type"] == "search_result":
                found.add("user", "text", block["title"] + block["source"])
                for _, text in _parts(block["content"]):
                    found.add("user", "text", text)
            elif block["type"] in ("text", "image", "document"):
                for kind, value in _parts([block]):
                    found.add(message["role"], kind, value)
    for tool in document.get("tools") or []:
        if tool.get("type") in (None, "custom"):
            found.tools.append(_tool(tool["name"], tool.get("input_schema")))
    choice = document.get("tool_choice") or {}
    found.parallel = choice.get("disable_parallel_tool_use") is not True
    found.choice = (choice.get("name") or choice.get("type") or "auto") if found.tools else "auto"
    return found


def _effort(thinking: Json, effort: str | None) -> str | None:
    if thinking.get("type") == "disabled":
        return "none"
    budget = thinking.get("budget_tokens")
    if effort is not None or budget is None:
        return effort
    return "low" if budget < 4096 else "medium" if budget < 16384 else "high"


# --- responses --------------------------------------------------------------------------------------


def _responses(document: Json) -> Asked:
    found = Asked(
        max_tokens=document.get("max_output_tokens"),
        temperature=document.get("temperature"),
        top_p=document.get("top_p"),
        user=document.get("user") or document.get("safety_identifier"),
        stream=document.get("stream") is True,
        parallel=document.get("parallel_tool_calls") is not False,
        effort=(document.get("reasoning") or {}).get("effort"),
    )
    found.schema = ((document.get("text") or {}).get("format") or {}).get("schema")
    found.add("system", "text", document.get("instructions") or "")
    given = document["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    group: list[tuple[str, object]] = []
    for item in items:
        if item.get("type", "").endswith("_call_output"):
            group.append((item["call_id"], item["output"]))
        elif item.get("type") != "reasoning":
            found.results(group)
            group = []
            _item(found, item)
    found.results(group)
    more = [item for item in items if item.get("type") == "additional_tools"]
    for holder in [document, *more]:
        for tool in holder.get("tools") or []:
            found.tools += _responses_tools(tool, "")
    choice = document.get("tool_choice") or "auto"
    if isinstance(choice, dict) and choice["type"] == "allowed_tools":
        allowed = {tool.get("name") for tool in choice["tools"]}
        found.tools = [tool for tool in found.tools if tool[0] in allowed]
        choice = choice["mode"]
    choice = choice.get("name") if isinstance(choice, dict) else choice
    found.choice = {"required": "any"}.get(choice, choice) if found.tools else "auto"
    return found


def _responses_tools(tool: Json, space: str) -> Iterator[tuple[str, Json]]:
    if tool["type"] == "namespace":
        for inner in tool["tools"]:
            yield from _responses_tools(inner, f"{tool['name']}__")
    elif tool["type"] == "function":
        yield _tool(space + tool["name"], tool.get("parameters"))
    elif tool["type"] == "custom":
        yield _tool(space + tool["name"], CUSTOM)


def _item(found: Asked, item: Json) -> None:
    kind = item.get("type", "message")
    space = f"{item['namespace']}__" if item.get("namespace") else ""
    if kind == "function_call":
        found.add("assistant", "call", item["call_id"], space + item["name"], _arguments(item["arguments"]))
    elif kind == "custom_tool_call":
        found.add("assistant", "call", item["call_id"], space + item["name"], {"input": item["input"]})
    elif kind == "message":
        role = {"developer": "system"}.get(item["role"], item["role"])
        for part, value in _parts(item["content"]):
            found.add(role, part, value)
