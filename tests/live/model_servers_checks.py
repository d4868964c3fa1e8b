"""What must hold of a model server behind relay, beside what it says itself."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .model_servers_asking import PATHS, WAYS, Question, Said, chatgpt, claude, request, sdk
from .model_servers_run import Server, ask, read
from .tiny_model import CONTEXT, SCRIPTS

FEW = 5
"""Reads that a stream of seventy tokens brings at the very least when nobody collects it."""
CUT = 17
STOP = " jasper"
"""Words of the text script, in the middle of it."""
SAID_STRICT = 30
"""Tokens that two tools take or not in the prompt: some servers print ``strict`` where it is said."""
ROW = 25
BUSY, IDLE, SOON = 0.15, 0.1, 3.0
"""Shares of a core, and the seconds a server has to notice that its client has gone."""


@dataclass(frozen=True)
class Check:
    """One line of the table: what was looked at, and what was wrong; ``fault`` is empty when nothing."""

    name: str
    fault: str
    seen: str = ""


@dataclass(frozen=True)
class Place:
    """A server, the relay in front of it, and the dialect that is spoken between them."""

    server: Server
    relay: str
    upstream: str

    def questions(self) -> dict[str, Question]:
        model, thinking = self.server.model, self.server.kind.thinking
        return {
            "text": Question(model, "Say it. @text"),
            "call": Question(model, "Ask. @call", tools=True),
            "calls": Question(model, "Ask twice. @calls", tools=True),
            "think": Question(model, "Think. @think", thinks=True, thinking=thinking),
            "length": Question(model, "Say it. @text", limit=CUT),
            "stop": Question(model, "Say it. @text", stop=STOP),
        }


async def answers(place: Place) -> AsyncIterator[Check]:
    """Every question by every way of every dialect, against the server's own answer."""
    for name, question in place.questions().items():
        takers = [d for d in WAYS if not question.stop or d != "responses"]  # which has no such field
        if place.upstream not in takers:
            continue
        for way in ("stream", "whole"):
            truth = await WAYS[place.upstream][way](place.server.url, question)
            for dialect in takers:
                title = f"{dialect}<{place.upstream} {name} {way}"
                try:
                    said = await WAYS[dialect][way](place.relay, question)
                except Exception as error:  # whatever an SDK raises is the finding
                    yield Check(title, f"{type(error).__name__}: {error}"[:300])
                    continue
                wrong = differences(said, truth) or unlike_asked(place, name, dialect, said)
                shown = f"{said.finish}, {said.read}+{said.written} tokens, {said.deltas} deltas"
                yield Check(title, wrong, shown)


def differences(said: Said, truth: Said) -> str:
    """What relay's client was told otherwise than the server tells its own; empty when nothing."""
    wrong = [
        f"{name}: {getattr(said, name)!r}, the server itself: {getattr(truth, name)!r}"
        for name in ("text", "reasoning", "tools", "finish", "written")
        if getattr(said, name) != getattr(truth, name)
    ]
    if abs(said.read - truth.read) > (SAID_STRICT if truth.tools else 0):
        wrong.append(f"read: {said.read}, the server itself: {truth.read}")
    if not said.written or not said.read:
        wrong.append("no usage")
    return "; ".join(wrong)[:400]


def unlike_asked(place: Place, name: str, dialect: str, said: Said) -> str:
    """What no comparison shows: the server's chat dialect may name the stop sequence, Messages has to."""
    named = place.server.kind.names_stop and place.upstream == "chat"
    if name == "stop" and dialect == "messages" and named and said.stopped_by != STOP:
        return f"stop_sequence is {said.stopped_by!r}"
    if name == "text" and 0 < said.deltas < FEW:
        return f"the text came in {said.deltas} deltas"
    return ""


async def honest(place: Place) -> AsyncIterator[Check]:
    """The server itself follows its scripts, so that the comparisons mean something."""
    calls = [("weather", {"city": "Ōsaka", "days": 3}), ("clock", {"zone": "Asia/Tokyo"})]
    cut = "length" if place.upstream in place.server.kind.tells_length else "stop"
    expected: dict[str, Callable[[Said], bool]] = {
        "text": lambda said: said.text == SCRIPTS["text"][0] and said.deltas >= FEW and said.read > 0,
        "calls": lambda said: said.tools == calls and said.finish == "tool_calls",
        "think": lambda said: said.reasoning.strip() == SCRIPTS["think"][1].strip(),
        "length": lambda said: said.finish == cut and said.written == CUT,
    }
    for name, right in expected.items():
        said = await WAYS[place.upstream]["stream"](place.server.url, place.questions()[name])
        wrong = "" if right(said) else f"it says {said}"[:300]
        yield Check(f"{place.upstream} {name} direct", wrong, f"{said.finish}, {said.deltas} deltas")


async def reads(place: Place) -> AsyncIterator[Check]:
    """The text comes read by read, in every dialect, as it does from the server."""
    question = place.questions()["text"]
    body = request(place.upstream, question) | {"stream": True}
    direct = await read(place.server.url, "POST", PATHS[place.upstream], body)
    for dialect, path in PATHS.items():
        pieces = await read(place.relay, "POST", path, request(dialect, question) | {"stream": True})
        text = sum(b'"delta"' in piece for piece in pieces)
        wrong = "" if text >= FEW else f"{text} reads, the server {len(direct)}: {b''.join(pieces)[:600]!r}"
        if dialect != place.upstream and f"x-relay-dialect: {dialect}<{place.upstream}" not in str(pieces[0]):
            wrong = wrong or f"not said to be translated: {pieces[0][:600]!r}"
        shown = f"{text} reads, from the server itself {len(direct)}"
        yield Check(f"{dialect}<{place.upstream} reads", wrong, shown)


async def rows(place: Place) -> AsyncIterator[Check]:
    """Streams one right after the other, as agents ask: a server may close behind each, whatever it said."""
    question = Question(place.server.model, "Say it. @text", limit=3)
    for dialect, path in PATHS.items():
        body = request(dialect, question) | {"stream": True}
        got = [await ask(place.relay, "POST", path, body) for _ in range(ROW)]
        failed = [content for status, content in got if status != 200]
        wrong = f"{len(failed)} of {ROW} failed: {failed[0][:200]!r}" if failed else ""
        yield Check(f"{dialect}<{place.upstream} row of streams", wrong, f"{ROW} streams")


async def tool_loops(place: Place) -> AsyncIterator[Check]:
    """Two calls, their results, and the answer that the model gives once it has them."""
    for dialect, loop in LOOPS.items():
        try:
            calls, text = await loop(place)
            wrong = (
                "" if (calls, text) == (["weather", "clock"], SCRIPTS["after"][0]) else f"{calls}, {text!r}"
            )
        except Exception as error:  # as above
            wrong = f"{type(error).__name__}: {error}"[:300]
        yield Check(f"{dialect}<{place.upstream} tool loop", wrong)


async def messages_loop(place: Place) -> tuple[list[str], str]:
    body = sdk("messages", place.questions()["calls"])
    async with claude(place.relay) as client:
        first = await client.messages.create(**body)
        used = [block for block in first.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": one.id, "content": "mild"} for one in used]
        said = [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        async with client.messages.stream(**body | {"messages": body["messages"] + said}) as stream:
            text = "".join([text async for text in stream.text_stream])
    return [one.name for one in used], text


async def chat_loop(place: Place) -> tuple[list[str], str]:
    body = sdk("chat", place.questions()["calls"])
    async with chatgpt(place.relay) as client:
        first = (await client.chat.completions.create(**body)).choices[0].message
        calls = first.tool_calls or []
        said: list[Any] = [first.model_dump(exclude_none=True)]
        said += [{"role": "tool", "tool_call_id": call.id, "content": "mild"} for call in calls]
        answer = await client.chat.completions.create(**body | {"messages": body["messages"] + said})
    return [call.function.name for call in calls], answer.choices[0].message.content


async def responses_loop(place: Place) -> tuple[list[str], str]:
    body = sdk("responses", place.questions()["calls"])
    async with chatgpt(place.relay) as client:
        first = await client.responses.create(**body, stream=False)
        calls = [item for item in first.output if item.type == "function_call"]
        said: list[Any] = [{"role": "user", "content": body["input"]}]
        said += [item.model_dump(exclude_none=True) for item in first.output]
        said += [
            {"type": "function_call_output", "call_id": call.call_id, "output": "mild"} for call in calls
        ]
        answer = await client.responses.create(**body | {"input": said}, stream=False)
    return [call.name for call in calls], answer.output_text


LOOPS: dict[str, Callable[[Place], Awaitable[tuple[list[str], str]]]] = {
    "chat": chat_loop,
    "messages": messages_loop,
    "responses": responses_loop,
}


async def errors(place: Place) -> AsyncIterator[Check]:
    """What the server refuses is refused in the client's dialect, with the server's status."""
    model = place.server.model
    asked: dict[str, Question | bytes] = {
        "unknown model": Question("no-such-model", "Say it."),
        "long prompt": Question(model, "word " * (CONTEXT + 100)),
        "no JSON": b'{"model":',
    }
    if not place.server.kind.has_limit:
        del asked["long prompt"]
    for name, question in asked.items():
        body = question if isinstance(question, bytes) else request(place.upstream, question)
        status, _ = await ask(place.server.url, "POST", PATHS[place.upstream], body)
        for dialect, path in PATHS.items():
            expected = status
            if not isinstance(question, bytes):
                body = request(dialect, question)
            elif dialect != place.upstream:
                expected = 400  # relay's own answer
            yield await refused(place, dialect, path, name, body, expected)


async def refused(place: Place, dialect: str, path: str, name: str, body: Any, status: int) -> Check:
    """One bad request; ``status`` is the server's own. Errors of its own dialect pass as they are."""
    title = f"{dialect}<{place.upstream} {name}"
    got, content = await ask(place.relay, "POST", path, body)
    if status < 400:
        return Check(title, "" if got < 400 else f"{got}: {content[:200]!r}", "the server takes it")
    wrong = "" if got == status else f"{got}, the server {status}: {content[:200]!r}"
    if dialect != place.upstream:
        wrong = wrong or shape(dialect, content)
    return Check(title, wrong, f"{got}: {message(content)}")


def shape(dialect: str, content: bytes) -> str:
    """What is missing of the dialect's error document."""
    try:
        document = json.loads(content)
        error = document["error"]
        right = isinstance(error["message"], str) and isinstance(error["type"], str)
        right = right and bool(error["message"])
        if dialect == "messages":
            right = right and document["type"] == "error"
        else:
            right = right and {"param", "code"} <= set(error)
    except (ValueError, KeyError, TypeError):
        right = False
    return "" if right else f"no error of this dialect: {content[:200]!r}"


def message(content: bytes) -> str:
    try:
        return " ".join(json.loads(content)["error"]["message"].split())[:60]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


async def small_ones(place: Place) -> AsyncIterator[Check]:
    """Counting tokens and the list of models, through the SDKs."""
    body = sdk("messages", place.questions()["calls"])
    counted = {name: body[name] for name in ("model", "messages", "tools")}
    async with claude(place.relay) as client:
        raw = await client.messages.with_raw_response.count_tokens(**counted)
        used = (await client.messages.create(**body)).usage
        tokens = (await raw.parse()).input_tokens
        told = raw.headers.get("x-relay-estimated")
        real = used.input_tokens + (used.cache_read_input_tokens or 0)
        models = [model.id async for model in client.models.list()]
    right = tokens > 0 if told else tokens == real
    wrong = "" if right else f"{tokens}, the server reads {real}; x-relay-estimated: {told}"
    yield Check(f"messages<{place.upstream} count_tokens", wrong, f"{tokens} for {real}, estimated: {told}")
    status, content = await ask(place.server.url, "GET", "/v1/models")
    theirs = [model["id"] for model in json.loads(content)["data"]] if status == 200 else []
    yield Check(
        f"messages<{place.upstream} models", "" if models == theirs else f"{models}, {theirs}", str(models)
    )
    async with chatgpt(place.relay) as client:
        models = [model.id async for model in client.models.list()]
    yield Check(
        f"chat<{place.upstream} models", "" if models == theirs else f"{models}, {theirs}", str(models)
    )


async def aborts(place: Place) -> AsyncIterator[Check]:
    """A client that goes away ends the generation: the server's processor time stands still."""
    question = Question(place.server.model, "Sing. @loop", limit=CONTEXT - 500)
    for dialect, leave in (("messages", leave_messages), ("responses", leave_responses)):
        busy = await leave(place, question)
        begun, share = time.monotonic(), 1.0
        while share > IDLE and time.monotonic() - begun < SOON:
            share = await place.server.busy(0.4)
        wrong = "" if busy > BUSY else f"it was never busy ({busy:.2f} cores)"
        if share > IDLE:
            wrong = f"{SOON} s after the client left it still takes {share:.2f} cores"
        shown = f"{busy:.2f} cores, {time.monotonic() - begun:.1f} s after the client left {share:.2f}"
        yield Check(f"{dialect}<{place.upstream} abort", wrong, shown)


async def leave_messages(place: Place, question: Question) -> float:
    """How busy the server was while the client read; then the client goes."""
    async with claude(place.relay) as client:
        stream = await client.messages.create(**sdk("messages", question), stream=True)
        return await first_words(place, stream)


async def leave_responses(place: Place, question: Question) -> float:
    async with chatgpt(place.relay) as client:
        stream = await client.responses.create(**sdk("responses", question), stream=True)
        return await first_words(place, stream)


async def first_words(place: Place, stream: Any) -> float:
    """The server's share of a core over a second of reading."""
    before, begun = await place.server.cpu(), time.monotonic()
    async for _ in stream:
        if time.monotonic() - begun > 1.0:
            break
    share = (await place.server.cpu() - before) / (time.monotonic() - begun)
    await stream.close()
    return share


async def save(place: Place, directory: Path) -> None:
    """The server's own streams, byte for byte, less head and chunks."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, question in place.questions().items():
        body = request(place.upstream, question) | {"stream": True}
        if place.upstream == "chat":
            body |= {"stream_options": {"include_usage": True}}
        _, content = await ask(place.server.url, "POST", PATHS[place.upstream], body)
        (directory / f"{place.server.kind.name}-{place.upstream}-{name}.sse").write_bytes(content)


CHECKS = (honest, answers, reads, rows, tool_loops, errors, small_ones, aborts)
