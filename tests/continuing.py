"""Continuation driven whole, below the sockets: an upstream that is cut, others that take over, one client.

``Replica`` is a server that would say one text, as vLLM or SGLang say it: it reads the request for the rest
and goes on where its prompt ends, so that what relay asks decides what relay gets. ``Relayed`` stands where
an exchange stands: it asks the next replica when the stream can be continued, and gives it up when not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from relay import dialects
from relay.continued import ContinuedStream
from relay.continuing import Transcript
from relay.dialects.profiles import BY_NAME
from relay.errors import FramingError, RelayError, UpstreamClosed, UpstreamError, UpstreamTruncated
from relay.mending import Mender
from relay.wire.framing import BodyDecoder, ChunkedDecoder, ChunkedEncoder, UntilCloseDecoder
from tests.cuts import placed
from tests.dialects.drive import CONTEXT, Event, events
from tests.streams import LIMIT, in_chunks
from tests.told import Json, Tale
from tests.translated import told, translation, verdict

CLIENTS = ("chat", "messages", "responses")
ASKED: Json = {
    "model": "m-client",
    "messages": [{"role": "user", "content": "hi"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
RESET = UpstreamClosed("the upstream broke the connection: reset")


def frame(payload: Json | None) -> bytes:
    return b"data: " + (b"[DONE]" if payload is None else json.dumps(payload).encode()) + b"\n\n"


def pieces_of(text: str, size: int = 3) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@dataclass
class Replica:
    """A server that says ``text`` after its ``thoughts``; one token is one piece of three characters.

    shows     the prompt that it rendered, on request, as vLLM does since 42052; ``silent``: null in its place
    trims     its chat template takes the white space from both ends of a message
    appends   the text is appended to the prompt, as SGLang does it, with no template about it
    counts    token counts with every chunk
    ignores   it takes the fields, and answers anew
    """

    text: str
    thoughts: str = ""
    ident: str = "chatcmpl-1"
    model: str = "m"
    created: int = 1763600000
    shows: bool = True
    silent: bool = False
    trims: bool = False
    appends: bool = False
    counts: bool = False
    ignores: bool = False
    finish: str = "stop"
    asked: list[Json] = field(default_factory=list)

    def answer(self, request: Json) -> list[bytes]:
        """Its frames."""
        self.asked.append(request)
        said, rest = self._prompt(request)
        thoughts = "" if said else self.thoughts
        known = len(pieces_of(said)) + (len(pieces_of(self.thoughts)) if said else 0)
        prompt, count = 10 + known, 0

        def usage() -> Json:
            return {"prompt_tokens": prompt, "completion_tokens": count, "total_tokens": prompt + count}

        def chunk(delta: Json, finish: str | None = None, **more: Any) -> bytes:
            head = {"id": self.ident, "object": "chat.completion.chunk", "created": self.created}
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            counted = {"usage": usage()} if self.counts else {}
            return frame({**head, "model": self.model, "choices": [choice], **counted, **more})

        shown: Json = {}
        if self.shows and request.get("return_prompt_text"):
            shown = {"prompt_text": None if self.silent else f"<user>hi<assistant>{said}"}
        out = [chunk({"role": "assistant", "content": ""}, **shown)]
        for name, text in (("reasoning", thoughts), ("content", rest)):
            for piece in pieces_of(text):
                count += 1
                out.append(chunk({name: piece}))
        out.append(chunk({}, self.finish))
        if (request.get("stream_options") or {}).get("include_usage"):
            head = {"id": self.ident, "object": "chat.completion.chunk", "created": self.created}
            out.append(frame({**head, "model": self.model, "choices": [], "usage": usage()}))
        return [*out, frame(None)]

    def _prompt(self, request: Json) -> tuple[str, str]:
        """The open end of its prompt, and what it has left to say."""
        last = request["messages"][-1]
        if not request.get("continue_final_message") or self.ignores:
            return "", self.text
        assert last["role"] == "assistant"
        assert request["add_generation_prompt"] is False
        content: str = last["content"]
        said = content.rstrip() if self.trims and not self.appends else content
        assert self.text.startswith(said), "the text in the prompt is not what was said"
        return (said.strip() if self.trims else said), self.text[len(said) :]


Next = Callable[[Json], list[bytes]]


class Relayed:
    """One exchange: a client of some dialect, and chat upstreams one after another."""

    def __init__(
        self,
        *others: Next,
        client: str = "chat",
        profile: str = "vllm",
        then: str = "",
        asked: Json = ASKED,
        chunked: bool = False,
    ) -> None:
        self.asked: list[Json] = []
        self.others = list(others)
        self.client = client
        self.chunked = chunked
        self.then = BY_NAME[then] if then else None
        if client == "chat":
            mender: Mender = Mender(dialects.BY_NAME["chat"](CONTEXT))
            body = json.dumps(asked).encode()
        else:
            made = translation(client, "chat", profile=BY_NAME[profile])
            mender, body = made.translator(made.context("t1", 1763600000)), made.body
        self.body = body
        transcript = Transcript(body, BY_NAME[profile])
        self.stream = ContinuedStream(
            self._decoder(), ChunkedEncoder(), mender, transcript, frame_limit=LIMIT
        )
        self.out = b""
        self.writes: list[bytes] = []
        self.error: RelayError | None = None
        """What cut it first."""
        self.refused = ""
        """What was wrong with the last that was to go on."""
        self.over = False
        self._client = ChunkedDecoder()
        self._turn = self._taken_up = 0

    @property
    def request(self) -> Json:
        """What the first upstream is asked."""
        document: Json = json.loads(self.body)
        return document

    @property
    def events(self) -> list[Event]:
        return events(self.out)

    @property
    def tale(self) -> Tale:
        return told[self.client](self.events)

    @property
    def verdict(self) -> str:
        return verdict(self.client, self.events)

    def run(self, pieces: Iterable[bytes], *, cut: RelayError | None = None) -> Relayed:
        """The first upstream's reads, and how they end: a closed connection, or this error."""
        self._feed(pieces, cut)
        return self

    def _decoder(self) -> BodyDecoder:
        return ChunkedDecoder() if self.chunked else UntilCloseDecoder()

    def _feed(self, pieces: Iterable[bytes], cut: RelayError | None = None) -> None:
        turn = self._turn
        for piece in pieces:
            if self.over or self._turn != turn:
                return
            self._read(in_chunks(piece, 300)[:-5] if self.chunked else piece)
        if not self.over and self._turn == turn:
            if cut is None:
                self._close()
            else:
                self._fail(cut)

    def _read(self, piece: bytes) -> None:
        data, start, end = placed(piece)
        try:
            out = self.stream.receive(data, memoryview(data), start, end)
        except (FramingError, RelayError) as error:
            self._write(b"".join(error.before))
            broken = UpstreamError(f"the upstream sent a malformed response body: {error}")
            self._fail(error if isinstance(error, RelayError) else broken)
        else:
            self._write(b"".join(out))
            if self.stream.ended:
                self._write(b"".join(self.stream.receive_eof()) if not self.chunked else b"")
                self.over = True

    def _close(self) -> None:
        try:
            out = self.stream.receive_eof()
        except (FramingError, RelayError) as error:
            self._write(b"".join(error.before))
            broken = UpstreamTruncated("the upstream closed the connection early")
            self._fail(error if isinstance(error, RelayError) else broken)
        else:
            self._write(b"".join(out))
            self.over = True

    def _fail(self, error: RelayError) -> None:
        if self.error is None or self.stream.continued > self._taken_up:
            self.error, self._taken_up = error, self.stream.continued
        else:
            self.refused = str(error)
        if self.others and not self.stream.obstacle(error):
            self._turn += 1
            self.asked.append(json.loads(self.stream.request(self.then)))
            answer = self.others.pop(0)(self.asked[-1])
            self.stream.resume(self._decoder(), f"spare-{self._turn}")
            self._feed(answer)
            return
        out = self.stream.abandon(self.error)
        assert out is not None
        self._write(b"".join(out))
        self.over = True

    def _write(self, raw: bytes) -> None:
        """Chunk framing undone; a client is never left inside a chunk, nor inside a frame."""
        spans: list[tuple[int, int]] = []
        assert self._client.receive(raw, 0, len(raw), spans) == len(raw)
        assert self._client.between_chunks or self._client.complete
        said = b"".join(raw[a:b] for a, b in spans)
        assert not said or said.endswith(b"\n\n"), said[-80:]
        self.out += said
        if said:
            self.writes.append(said)
