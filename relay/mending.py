"""Mender: whole frames of one event stream in, the frames that a client gets out.

It stands between bytes and meaning. The dialect's checker says what shall become of a frame; here
its bytes are found, patched, replaced or left alone, and what no dialect is needed for is mended:
line ends, stray fields, frames without data, JSON that only some parsers take.

The answer for a run of frames is None when all of them may leave as the very bytes that came, which
is nearly always so. Otherwise it is a list of buffers, most of them views of the same bytes; what
was patched at the same length was patched in place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import orjson

from relay import patching
from relay.dialects import failures
from relay.dialects.announcing import announces
from relay.dialects.checker import Checker, Malformed
from relay.dialects.deltas import Failure
from relay.dialects.frame import Frame
from relay.errors import UpstreamRefused
from relay.holding import HoldsThinking
from relay.likeness import Likeness
from relay.payload import NO_NUMBER, is_whole, mend_numbers, parse
from relay.wire import edit, sse
from relay.wire.framing import Buffer, Data

FRAME_RULES = {
    "frame-bom": "a byte order mark at the start is dropped: it spoils the first line for most clients",
    "frame-lone-cr": "lines that end with CR alone end with LF: the AI SDK and codex lose the last event",
    "frame-final-blank": "a complete last frame without its empty line gets it",
    "frame-single-newline": "frames parted by one LF are parted by an empty line",
    "frame-empty-data": "a frame with empty data becomes a comment (openai-go 556)",
    "frame-event-only": "an event without data becomes a comment (openai-python 2722)",
    "frame-retry": "a frame with only id or retry becomes a comment (openai-python 2722)",
    "frame-blank-after-id": "an empty line after an id goes: it makes an empty event (openai-python 2722)",
    "frame-done-blank": "blanks after [DONE] go: openai-node 7 parses them as JSON",
    "frame-not-a-number": "NaN and Infinity become null: they are no JSON",
    "frame-json-body": "a whole JSON answer to a streaming request becomes a stream, an error its status",
}
"""Repairs that need no dialect, by name."""

_TOO_DEEP = "the upstream sent an invalid frame: its data is nested too deeply"


class Listener(Protocol):
    """Stands before the checker of a stream: sees its frames, and what becomes of them (``continued``)."""

    def check(self, frame: Frame) -> list[Frame] | None: ...


class Mender:
    """The frames of one stream, checked and mended."""

    __slots__ = (
        *("_at_start", "_event", "_id_seen", "_likeness", "_listener", "_prefix", "_repairs"),
        *("announcing", "checker", "lively", "report"),
    )

    def __init__(self, checker: Checker, *, report: bool = False, hold_thinking: bool = False) -> None:
        self.checker = checker
        if hold_thinking and isinstance(checker, HoldsThinking):
            checker.hold_thinking()
        self.announcing = False  # where true: all frames so far have only announced an answer
        self.lively = False
        """The last run held more than comments and empty frames."""
        self.report = report
        self._repairs: dict[str, int] = {}
        self._at_start = True
        self._id_seen = False
        self._prefix = b""
        """All of the last frame that came before its payload, and its event's name."""
        self._event: str | None = None
        self._likeness = None if checker.keeps_text else Likeness()
        self._listener: Listener = checker

    def listen(self, listener: Listener) -> None:
        """Let it see every frame that is read; those that pass unread are its own affair."""
        self._listener = listener

    def begin_again(self) -> None:
        """What comes now is another body."""
        self._at_start = True

    def passes(self, data: Data, view: memoryview, start: int, end: int) -> bool:
        """One whole frame, which ends with LF LF, continues the one before it and leaves as it came.

        False when it is anything else, and then nothing has been taken in. Of the 2.9 µs that `take`
        needs for such a frame this takes 1.4, with a likeness 0.6.
        """
        likeness = self._likeness
        if likeness is not None and (size := likeness.size(data, start, end)):
            self.checker.piece(size)
            self.lively = True
            return True
        begin = start + len(self._prefix)
        if not (self._prefix and data.startswith(self._prefix, start, end)):
            return False
        if data.find(b"\n", begin, end) != end - 2 or data.find(b"\r", begin, end) >= 0:
            return False
        try:
            payload = orjson.loads(view[begin : end - 2])
        except orjson.JSONDecodeError:
            return False
        text = self.checker.continues(self._event, payload) if type(payload) is dict else None
        if text is None:
            return False
        if likeness is not None:
            likeness.learn(data, start, end, text)
        self.lively = True
        return True

    def says(self, data: Data, view: memoryview, start: int, end: int) -> bytes | None:
        """What leaves in place of one whole frame where that is told without reading it (``translating``)."""
        return None

    @property
    def repairs(self) -> dict[str, int]:
        """How often each rule was applied."""
        return self._repairs | self.checker.repairs

    def take(self, data: Data, view: memoryview, start: int, end: int) -> list[Buffer] | None:
        """What leaves in place of the whole frames of ``data[start:end]``; None: the same bytes.

        Raises Malformed, with what was mended before it in the same run as ``before``.
        """
        self.lively = False
        if self._likeness is not None:
            self._likeness.forget()
        if self.report:
            view = view.toreadonly()
        out: list[Buffer] | None = None
        passed = at = start
        for stop in sse.frame_ends(data, start, end):
            try:
                answer = self._take_frame(data, view, at, stop)
            except Malformed as error:
                if not self.report:
                    error.before = [*(out or []), view[passed:at], *error.before]
                    raise
                self._count("malformed")
                answer = None
            if answer is not None:
                out = out or []
                if passed < at:
                    out.append(view[passed:at])
                out += answer
                passed = stop
            at = stop
        if out is None or self.report:
            return None
        if passed < end:
            out.append(view[passed:end])
        return out

    def take_rest(self, rest: bytearray) -> list[Buffer]:
        """A last frame without its empty line; what is unfinished in it is left out."""
        whole = rest + (b"\n" if rest.endswith(b"\n") else b"\n\n")
        fields = sse.read_fields(whole, 0, len(whole))
        complete = fields.data is not None and is_whole(fields.data)
        if not complete and sse.first_line_is_whole(whole):
            complete = True  # frames parted by one LF, the last of which may be cut
            last = whole.rindex(b"\ndata:")
            if not is_whole(whole[last + len(b"\ndata:") :].strip()):
                whole[last:] = b"\n\n"
        if not complete:
            return [rest] if self.report else []
        self._count("frame-final-blank")
        view = memoryview(whole)
        answer = self.take(whole, view, 0, len(whole))
        if self.report:
            return [rest]
        return [view] if answer is None else answer

    def take_document(self, text: bytes) -> list[Buffer]:
        """A body that is a JSON document, as a stream. Raises Malformed."""
        self._count("frame-json-body")
        document = parse(text.removeprefix(sse.BOM))
        failure = failures.read(document)
        if failure is not None:
            self.checker.failure = failure
            return []
        if not isinstance(document, dict):
            raise Malformed("the body is neither an event stream nor a JSON object")
        out: list[Buffer] = []
        try:
            for frame in self.checker.stream_of(document, self.checker.context):
                out += self._answer(frame, self.checker.check(frame)) or ()
        except RecursionError as error:
            raise Malformed(_TOO_DEEP) from error
        return out

    def end(self, *, cut: bool = False) -> list[Buffer]:
        """The body is over, or ``cut`` by a reset or a silence: what completes it. Raises Truncated."""
        frames = self.checker.end(cut=cut)
        return [] if self.report else self._write(frames)

    def fail(self, failure: Failure) -> list[Buffer]:
        """The error that ends the stream."""
        return self._write(self.checker.fail(failure))

    def refusal(self, failure: Failure) -> UpstreamRefused:
        """The answer to a client that has not been sent anything yet."""
        document = edit.dumps(self.checker.error_document(failure))
        return UpstreamRefused(failure.message, failure.status, document, failure.retry_after)

    def keep_alive(self) -> bytes:
        """A sign of life that no client takes for more."""
        frame = self.checker.keep_alive()
        return b": keepalive\n" if frame is None else patching.encode(frame)

    def _count(self, rule: str) -> None:
        self._repairs[rule] = self._repairs.get(rule, 0) + 1

    def _check(self, frame: Frame) -> list[Frame] | None:
        checker, started = self.checker, self.checker.started
        self.announcing = self.announcing and announces(checker.name, frame)
        try:
            return self._listener.check(frame)
        except Malformed:
            checker.started = started  # what cannot be read has started nothing
            raise

    def _take_frame(self, data: Data, view: memoryview, start: int, end: int) -> list[Buffer] | None:
        try:
            begin, name = sse.payload_at(data, start, end)
            if begin >= 0:
                try:
                    payload = orjson.loads(view[begin : end - 2])
                except orjson.JSONDecodeError:
                    payload = None
                if type(payload) is dict:
                    self.lively = True
                    self._at_start = False
                    event = None if name < 0 else data[name : begin - 7].decode("utf-8", "replace")
                    self._event, self._prefix = event, bytes(data[start:begin])
                    frame = Frame(event, payload, view[start:end])
                    return self._answer(frame, self._check(frame))
            return self._take_unusual(data, view, start, end)
        except RecursionError as error:
            raise Malformed(_TOO_DEEP) from error

    # Frames in any other form.

    def _take_unusual(self, data: Data, view: memoryview, start: int, end: int) -> list[Buffer] | None:
        if self._at_start:
            self._at_start = False
            if data.startswith(sse.BOM, start, end):
                self._count("frame-bom")
                answer = self._take_frame(data, view, start + len(sse.BOM), end)
                return [view[start + len(sse.BOM) : end]] if answer is None else answer
        if end - start > 1 and data.find(b"\r", start, end) >= 0 and data.find(b"\n", start, end) < 0:
            self._count("frame-lone-cr")
            text = bytearray(view[start:end].tobytes().replace(b"\r", b"\n"))
            answer = self._take_frame(text, memoryview(text), 0, len(text))
            return [text] if answer is None else answer
        fields = sse.read_fields(data, start, end)
        if fields.data is None or not fields.data.strip():
            return self._take_without_data(view[start:end], fields)
        self.lively = True
        if any(data.startswith(b"id", line) for line in fields.others):
            self._id_seen = True
        if fields.data.startswith(b"[DONE]"):
            return self._take_sentinel(view[start:end], fields)
        payload = parse(fields.data)
        if payload is None and fields.pieces > 1:
            return self._take_lines(fields.data.split(b"\n"))
        return self._take_payload(view[start:end], fields, payload)

    def _take_without_data(self, raw: memoryview, fields: sse.Fields) -> list[Buffer] | None:
        if fields.data is not None:
            rule = "frame-empty-data"
        elif fields.event is not None:
            if fields.event == b"ping" and self.checker.name == "messages":
                return None
            rule = "frame-event-only"
        elif fields.others and self.checker.name != "messages":
            rule = "frame-retry"
        elif self._id_seen and self.checker.name != "messages":
            self._count("frame-blank-after-id")
            text = bytearray(raw)
            sse.silence(text)
            line = text.replace(b"\r", b"").replace(b"\n", b"")
            return [line + b"\n"] if line else []
        else:
            return None
        self._count(rule)
        if self._id_seen and self.checker.name != "messages":
            return []
        return [patching.silenced(raw)]

    def _take_sentinel(self, raw: memoryview, fields: sse.Fields) -> list[Buffer] | None:
        frame = Frame(_text(fields.event), None, raw)
        if fields.data != b"[DONE]":
            self._count("frame-done-blank")
            frame.raw = None
        return self._answer(frame, self._check(frame))

    def _take_lines(self, lines: list[bytes]) -> list[Buffer]:
        """Frames parted by one LF: each data line is a payload of its own."""
        out: list[Buffer] = []
        try:
            for line in filter(None, lines):
                text = b"data: " + line + b"\n\n"
                answer = self._take_unusual(text, memoryview(text), 0, len(text))
                out += [text] if answer is None else answer
        except Malformed as error:
            error.before = out
            raise
        self._count("frame-single-newline")
        return out

    def _take_payload(self, raw: memoryview, fields: sse.Fields, payload: Any) -> list[Buffer] | None:
        if payload is None:
            raise Malformed("the upstream sent an invalid frame: its data is not JSON")
        frame = Frame(_text(fields.event), payload, raw)
        if isinstance(payload, list) and len(payload) == 1 and failures.read(payload) is not None:
            frame.payload, frame.raw = payload[0], None  # Gemini puts its errors in a list
        elif not isinstance(payload, dict):
            raise Malformed("the upstream sent an invalid frame: its data is not a JSON object")
        elif NO_NUMBER.search(raw) and sum(mend_numbers(frame, (), payload)):
            self._count("frame-not-a-number")
        return self._answer(frame, self._check(frame))

    def _answer(self, frame: Frame, answer: list[Frame] | None) -> list[Buffer] | None:
        """The bytes for a checker's answer; None where the frame's own may leave."""
        if answer is None:
            if frame.raw is not None and not frame.changed:
                return None
            answer = [frame]
        return self._write(answer)

    # Bytes of frames.

    def _write(self, frames: Iterable[Frame]) -> list[Buffer]:
        """After an id a comment would leave with an empty line, see ``frame-blank-after-id``."""
        id_seen = self._id_seen and self.checker.name != "messages"
        return [
            patching.bytes_of(frame)
            for frame in frames
            if not (frame.silenced and (id_seen or frame.raw is None))
        ]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
