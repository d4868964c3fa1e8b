"""Translator: whole frames of an upstream's dialect in, frames of the client's dialect out.

It is a Mender whose frames do not leave: what the checker of the upstream's dialect has passed or mended is
decoded to deltas, and each delta is encoded in the client's dialect before the call returns. So nothing is
translated that was not legal, and no fault of one dialect reaches the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from relay import patching
from relay.dialects.checker import Checker
from relay.dialects.codec import Codec, Decoder, Encoder
from relay.dialects.deltas import Block, Delta, Failure, Kind, Piece
from relay.dialects.frame import Frame
from relay.dialects.request import unique
from relay.errors import UpstreamRefused
from relay.holding import HoldsThinking
from relay.likeness import Likeness
from relay.mending import Mender
from relay.wire import edit, sse
from relay.wire.framing import Buffer, Data

OVERLOADED = {"messages": {503: 529}, "chat": {529: 503}, "responses": {529: 503}}
"""Anthropic's status for an overloaded server is not OpenAI's; SDKs know their own."""


class Translator(Mender):
    """The frames of one stream, checked, mended and said in another dialect."""

    __slots__ = ("_alike", "_client", "_decoder", "_encoder", "_failed", "_head")

    def __init__(
        self,
        checker: Checker,
        decoder: Decoder,
        encoder: Encoder,
        client: Codec,
        *,
        hold_thinking: bool = False,
    ) -> None:
        super().__init__(checker)
        if hold_thinking and isinstance(encoder, HoldsThinking):
            encoder.hold_thinking()
        self._likeness = None  # no frame leaves as it came
        self._alike = None if checker.keeps_text else Likeness()
        self._decoder = decoder
        self._encoder = encoder
        self._client = client
        self._failed = False
        self._head = b""
        """What stands before the payload of a frame like the last one."""

    def passes(self, data: Data, view: memoryview, start: int, end: int) -> bool:
        return False

    def says(self, data: Data, view: memoryview, start: int, end: int) -> bytes | None:
        """The hot path: a frame that differs from the one before it in its plain text only.

        That one was read whole and was one piece, so this one is the next piece of the same block.
        """
        alike = self._alike
        if alike is None or not (size := alike.size(data, start, end)):
            return None
        text = alike.text(view, start, end)
        payload = self._encoder.more(text)
        if payload is None:
            return None
        self._decoder.more(text)
        self.checker.piece(size)
        self.lively = True
        return self._head + payload + b"\n\n"

    def fail(self, failure: Failure) -> list[Buffer]:
        self.checker.fail(failure)
        return self._fail(failure)

    def refusal(self, failure: Failure) -> UpstreamRefused:
        return refusal(self._client, failure)

    def keep_alive(self) -> bytes:
        frame = self._encoder.keep_alive()
        return b": keepalive\n" if frame is None else patching.encode(frame)

    def _take_frame(self, data: Data, view: memoryview, start: int, end: int) -> list[Buffer] | None:
        if self._listener is self.checker and (said := self.says(data, view, start, end)) is not None:
            return [said]
        if self._alike is not None:
            self._alike.forget()
        return super()._take_frame(data, view, start, end)

    def _take_unusual(self, data: Data, view: memoryview, start: int, end: int) -> list[Buffer] | None:
        if self._alike is not None:
            self._alike.forget()
        return super()._take_unusual(data, view, start, end)

    def _take_without_data(self, raw: memoryview, fields: sse.Fields) -> list[Buffer] | None:
        return []  # comments and empty events are the upstream's own affair

    def _answer(self, frame: Frame, answer: list[Frame] | None) -> list[Buffer] | None:
        if answer is not None:
            return self._write(answer)
        if self._failed or self.checker.failure is not None:
            return self._write([frame])
        deltas = self._decoder.decode(frame)
        frames = [said for delta in deltas for said in self._encode(delta)]
        if len(deltas) == 1 and len(frames) == 1:
            self._learn(frame, deltas[0], frames[0])
        return [patching.encode(said) for said in frames]

    def _write(self, frames: Iterable[Frame]) -> list[Buffer]:
        """The frames that a checker let pass, in the client's dialect."""
        if self._failed:
            return []
        if self.checker.failure is not None:
            return self._fail(self.checker.failure)
        return [
            patching.encode(said)
            for frame in frames
            if not frame.silenced
            for delta in self._decoder.decode(frame)
            for said in self._encode(delta)
        ]

    def _encode(self, delta: Delta) -> list[Frame]:
        if self._failed:
            return []
        if type(delta) is Block and delta.tool_id:
            # Ids that a server uses again would be taken for the calls that had them (Switchyard 502).
            delta.tool_id = unique(delta.tool_id, self._encoder.request.call_ids)
        elif delta.kind is Kind.FAIL:
            assert isinstance(delta, Failure)
            self._failed = True
            self.checker.failure = delta
            self.checker.fail(delta)
            delta = _neutral(delta)
        return self._encoder.encode(delta)

    def _fail(self, failure: Failure) -> list[Buffer]:
        return [patching.encode(said) for said in self._encode(failure)]

    def _learn(self, frame: Frame, delta: Delta, said: Frame) -> None:
        """The next frame may differ from this one in its text only."""
        alike = self._alike
        if alike is None or not alike.patient or frame.raw is None:
            return
        if type(delta) is Piece and delta.logprobs is None:
            raw = bytes(frame.raw)
            alike.learn(raw, 0, len(raw), delta.text)
            self._head = (f"event: {said.event}\n" if said.event else "").encode() + b"data: "


def refusal(client: Codec, failure: Failure) -> UpstreamRefused:
    """An upstream's error as the whole answer to a client of this dialect."""
    document = edit.dumps(client.error_document(_neutral(failure)))
    status = OVERLOADED[client.name].get(failure.status, failure.status)
    return UpstreamRefused(failure.message, status, document, failure.retry_after)


def _neutral(failure: Failure) -> Failure:
    """Its status tells every dialect what to call it; other dialects' types tell nobody anything.

    Codes stay, clients act on them, but for one that makes codex give up where it should try again.
    """
    code = None if failure.code == "server_is_overloaded" else failure.code
    return replace(failure, type=None, code=code)
