"""The streams of the soak: what its upstreams send, to the byte, and what a client must then have got.

A request carries its script in `model`, so that both ends know it without talking to each other. Every
delta holds the number of its stream and its own, so that a piece that is lost, doubled or in the wrong
stream shows.
"""

import json
from dataclasses import asdict, dataclass

DIALECTS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
SECRET = "what nobody may find in a log"
"""The prompt."""

ONCE = (
    *("refused-503", "refused-429", "reset-before-head", "close-before-head", "half-head", "no-http"),
    *("reset-after-head", "empty", "half-first-frame", "error-first", "announced-error"),
)
"""Before anything counts: the first attempt at each upstream fails so, and the next is served."""
SILENT_ONCE = ("silent-before-head", "silent-before-frame")
FOR_GOOD = {"busy": 503, "wrong": 400, "dead": 502}
"""Every attempt fails so; what status its client gets."""
CUTS = (
    *("reset-between", "close-between", "reset-inside", "close-inside"),
    *("ends-between", "ends-inside", "bad-chunk", "bad-frame", "error-event"),
)
"""In the middle, after one delta at least: the dialect's error event is the last thing."""
SILENT_CUT = "silent-between"
AT_END = (
    "no-end",
    "close-at-end",
    "reset-at-end",
    "no-last-chunk",
    "reset-after",
    "junk-after",
    "closes-after",
)
"""When all that matters has been said: the end is supplied where it is missing."""

FAULTS = (*ONCE, *FOR_GOOD, *CUTS, *AT_END)
SILENCES = (*SILENT_ONCE, SILENT_CUT)
"""Those that take as long as a limit of relay's."""

REFUSED = b'{"error":{"message":"%b","type":"%b","param":null,"code":null}}'
BUSY = REFUSED % (b"no room", b"overloaded_error")
WRONG = REFUSED % (b"bad temperature", b"invalid_request_error")


@dataclass(frozen=True, slots=True)
class Script:
    """One stream: its number, dialect, deltas, seconds between them, their bytes, the fault, the client."""

    number: int
    dialect: str
    deltas: int
    interval: float
    size: int = 12
    fault: str = ""
    client: str = "stays"

    def request(self, *, keep: bool = True) -> bytes:
        body = {"model": json.dumps(asdict(self)), "stream": True, "max_tokens": 100}
        asked = "input" if self.dialect == "responses" else "messages"
        body[asked] = [{"role": "user", "content": SECRET}]
        document = json.dumps(body).encode()
        lines = [f"POST {DIALECTS[self.dialect]} HTTP/1.1", "host: soak", "content-type: application/json"]
        lines += [f"content-length: {len(document)}", *([] if keep else ["connection: close"])]
        return "\r\n".join([*lines, "", ""]).encode() + document

    @classmethod
    def of(cls, body: bytes) -> "Script":
        return cls(**json.loads(json.loads(body)["model"]))

    @property
    def cut(self) -> int:
        """How many deltas leave before it goes wrong in the middle: one at least, and never all."""
        return 1 + self.number % (self.deltas - 1)

    @property
    def expected(self) -> str:
        """What its client must see if it stays."""
        if self.fault in FOR_GOOD:
            return f"status {FOR_GOOD[self.fault]}"
        if self.fault in CUTS or self.fault == SILENT_CUT:
            return "error"
        if self.dialect == "responses":  # what it announces before its last event is not yet the end
            supplied = {"no-end": "supplied", "close-at-end": "supplied", "reset-at-end": "error"}
            return supplied.get(self.fault, "whole")
        return "whole"

    def frames(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """What opens the stream, one frame a delta, what ends it."""
        texts = [f"<{self.number}.{turn}>".ljust(self.size, "x") for turn in range(self.deltas)]
        return {"chat": _chat, "messages": _messages, "responses": _responses}[self.dialect](
            self.number, texts
        )

    def verdict(self, status: int, body: bytes) -> str:
        """What a client with this answer has got: whole, supplied, error, or what is wrong with it."""
        if status != 200:
            return self._refusal(status, body)
        opening, deltas, closing = self.frames()
        if body == b"".join([*opening, *deltas, *closing]):
            return "whole"
        is_late = self.fault in AT_END
        sent = [*opening, *deltas, *closing[:-1]] if is_late else [*opening, *deltas[: self.cut]]
        start = b"".join(sent)
        if not body.startswith(start):
            return difference(body, start)
        rest = body[len(start) :]
        if is_late and self.dialect == "responses" and rest == supplied(closing[-1]):
            return "supplied"
        return self._error(rest, len(sent), len(deltas) if is_late else self.cut)

    def begins(self, body: bytes) -> bool:
        """Is this the beginning of what its client must get, as far as anybody knows that beforehand."""
        opening, deltas, closing = self.frames()
        if b"".join([*opening, *deltas, *closing]).startswith(body):
            return True
        return bool(self.fault) and body.startswith(b"".join([*opening, *deltas[: self.cut]]))

    def _refusal(self, status: int, body: bytes) -> str:
        if self.fault not in FOR_GOOD:
            return f"status {status}: {body[:200]!r}"
        exact = {"busy": BUSY, "wrong": WRONG}.get(self.fault)
        if exact is not None and body != exact:
            return f"status {status} with {body[:200]!r}"
        said = json.loads(body)["error"]
        return f"status {status}" if said["message"] else f"status {status} without a word"

    def _error(self, rest: bytes, frames: int, deltas: int) -> str:
        """Is this the dialect's error event, and nothing else; the third and fourth say what came before."""
        if not rest:
            return "cut without a word"
        said = rest.split(b"\n\n")
        if said.pop():
            return f"half a frame at the end: {rest[-60:]!r}"
        expected = {
            "chat": [(None, {"error"})],
            "messages": [("error", {"type", "error"})],
            "responses": [
                ("error", {"type", "error", "sequence_number"}),
                ("response.failed", {"type", "response", "sequence_number"}),
            ],
        }[self.dialect]
        if len(said) != len(expected):
            return f"{len(said)} frames after the last whole one: {rest[:300]!r}"
        payloads = []
        for lines, (event, keys) in zip(said, expected, strict=True):
            name, _, data = lines.rpartition(b"data: ")
            if name != (b"" if event is None else b"event: %b\n" % event.encode()):
                return f"an error of another form: {lines[:200]!r}"
            payloads.append(json.loads(data))
            if not keys <= payloads[-1].keys() or payloads[-1].get("type", event) != event:
                return f"an error of another form: {lines[:200]!r}"
        numbers = [payload.get("sequence_number", frames + at) for at, payload in enumerate(payloads)]
        if numbers != [*range(frames, frames + len(payloads))]:
            return f"events numbered {numbers}, not from {frames} on"
        return self._message(payloads, deltas)

    def _message(self, payloads: list[dict], deltas: int) -> str:
        message = payloads[0]["error"]["message"]
        if self.dialect == "responses":
            failed = payloads[1]["response"]
            if (failed["id"], failed["status"]) != (f"resp_{self.number}", "failed"):
                return f"another response failed: {failed}"
            if failed["error"]["message"] != message:
                return f"two messages: {message!r} and {failed['error']['message']!r}"
        counted = f"after {deltas} delta{'' if deltas == 1 else 's'}"
        if self.fault == "error-event":
            return "error" if message == "engine died" else f"an error that says {message!r}"
        return "error" if counted in message else f"an error that does not say {counted!r}: {message!r}"


def difference(body: bytes, sent: bytes) -> str:
    """Where the body leaves what was sent, or that it ends too soon."""
    if sent.startswith(body):
        return f"ends after {len(body)} of {len(sent)} bytes without a word"
    at = next(at for at, (one, other) in enumerate(zip(body, sent, strict=False)) if one != other)
    return f"bytes that were not sent, from {at}: {body[max(at - 30, 0) : at + 60]!r}"


def supplied(last: bytes) -> bytes:
    """The last event of Responses as relay makes it: nobody can know the usage."""
    payload = json.loads(last.partition(b"data: ")[2])
    number = payload.pop("sequence_number")
    response = {**payload["response"], "usage": None}
    return event("response.completed", sequence_number=number, response=response)


def frame(payload: object) -> bytes:
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\n".encode() + frame({"type": kind, **fields})


def failure(dialect: str) -> bytes:
    """The error event of an upstream that speaks this dialect well."""
    if dialect == "chat":
        return frame(
            {"error": {"message": "engine died", "type": "server_error", "param": None, "code": "oh"}}
        )
    said = {"type": "api_error", "message": "engine died"}
    return (
        event("error", error=said) if dialect == "messages" else event("error", error={**said, "code": "oh"})
    )


Frames = tuple[list[bytes], list[bytes], list[bytes]]


def _chat(number: int, texts: list[str]) -> Frames:
    def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
        head = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return frame({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    role = chunk({"role": "assistant", "content": ""})
    return [role], [chunk({"content": text}) for text in texts], [chunk({}, "stop"), b"data: [DONE]\n\n"]


def _messages(number: int, texts: list[str]) -> Frames:
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "m", "content": []}
    message |= {"stop_reason": None, "stop_sequence": None}
    message["usage"] = {"input_tokens": 1, "output_tokens": 1}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    opening = [
        event("message_start", message=message),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    ]
    deltas = [
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}) for text in texts
    ]
    closing = [
        event("content_block_stop", index=0),
        event("message_delta", delta=ended, usage={"output_tokens": 2}),
        event("message_stop"),
    ]
    return opening, deltas, closing


def _responses(number: int, texts: list[str]) -> Frames:
    text = "".join(texts)
    numbers = iter(range(len(texts) + 10))

    def numbered(kind: str, **fields: object) -> bytes:
        return event(kind, **fields, sequence_number=next(numbers))

    def response(status: str, output: list[object], usage: object = None) -> dict[str, object]:
        said = {"id": f"resp_{number}", "object": "response", "created_at": 1, "status": status, "model": "m"}
        said |= {"output": output, "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        return said | {"usage": usage}

    def item(status: str, content: list[object]) -> dict[str, object]:
        said = {"id": f"msg_{number}", "type": "message", "status": status, "role": "assistant"}
        return said | {"content": content}

    place = {"item_id": f"msg_{number}", "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    part = {**empty, "text": text}
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "total_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    whole = item("completed", [part])
    opening = [
        numbered("response.created", response=response("in_progress", [])),
        numbered("response.in_progress", response=response("in_progress", [])),
        numbered("response.output_item.added", output_index=0, item=item("in_progress", [])),
        numbered("response.content_part.added", part=empty, **place),
    ]
    deltas = [numbered("response.output_text.delta", delta=one, logprobs=[], **place) for one in texts]
    closing = [
        numbered("response.output_text.done", text=text, logprobs=[], **place),
        numbered("response.content_part.done", part=part, **place),
        numbered("response.output_item.done", output_index=0, item=whole),
        numbered("response.completed", response=response("completed", [whole], usage)),
    ]
    return opening, deltas, closing
