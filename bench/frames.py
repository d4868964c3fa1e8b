"""The traffic both ends agree on: one request, one 200-byte frame, one stamp.

A stream is a legal chat completion, so that a relay which checks or mends streams has nothing
to mend: first frame with the role, then content frames, a finish frame, `[DONE]`. Every frame
that counts as a delta is exactly 200 bytes and travels as one HTTP chunk of its own. The sixteen
digits in its `content` are CLOCK_MONOTONIC nanoseconds, read just before the write; the clock is
the same for every process of one machine, so receipt minus stamp is the time under way.

What a request asks for travels in its `messages` text, because a relay may refuse or drop a
field it does not know, and must forward that one.
"""

import json
import re

FRAME_BYTES = 200
STAMP_DIGITS = 16
PATH = "/v1/chat/completions"

_STEP = (
    '{"id":"bench","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
    '"choices":[{"index":0,"delta":%s,"finish_reason":%s}]}'
)
_MARK = "S" * STAMP_DIGITS


def _frame(delta_open: str) -> bytes:
    """One frame with `_MARK` where the stamp goes, filled up to `FRAME_BYTES`."""
    bare = "data: " + _STEP % (delta_open + '"content":"' + _MARK + '"}', "null") + "\n\n"
    return bare.replace(_MARK, _MARK + "x" * (FRAME_BYTES - len(bare))).encode()


def _chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def _around_stamp(chunk: bytes) -> tuple[bytes, bytes]:
    before, after = chunk.split(_MARK.encode())
    return before, after


RESPONSE_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\n"
    b"x-request-id: bench-0001\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
# A delta on the wire is BEFORE + stamp + AFTER; the first one carries the role and has the head before it.
FIRST_BEFORE, FIRST_AFTER = _around_stamp(RESPONSE_HEAD + _chunk(_frame('{"role":"assistant",')))
DELTA_BEFORE, DELTA_AFTER = _around_stamp(_chunk(_frame("{")))
STREAM_END = (
    _chunk(b"data: " + (_STEP % ("{}", '"stop"')).encode() + b"\n\n")
    + _chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)
# A body ends with these bytes and no frame can: a frame's chunk ends with "\n\n\r\n".
LAST_CHUNK = b"0\r\n\r\n"
OK = b"HTTP/1.1 200"

STAMPS = re.compile(rb'"content":"(\d{%d})' % STAMP_DIGITS)
WANTED = re.compile(rb"bench mode=(\w+) deltas=(\d+) interval_us=(\d+) id=(\d+)")


def request(mode: str, deltas: int, interval_us: int, ident: int, *, close: bool = False) -> bytes:
    """The bytes of one request. Modes: `stream`, `hold` (one frame, then silence), `silent` (no head)."""
    text = f"bench mode={mode} deltas={deltas} interval_us={interval_us} id={ident}"
    document = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": text}]}
    body = json.dumps(document).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: bench.local\r\ncontent-type: application/json\r\n"
        f"accept: text/event-stream\r\nuser-agent: bench\r\ncontent-length: {len(body)}\r\n"
    )
    return (head + ("connection: close\r\n" if close else "") + "\r\n").encode() + body
