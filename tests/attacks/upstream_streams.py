"""Answers that are compressed to burst, and event streams that break."""

from __future__ import annotations

import gzip
import json
import zlib

from .cases import (
    BROKEN,
    CLOSE,
    GATEWAY,
    HOLD,
    POISON,
    RESET,
    Case,
    Cut,
    Flood,
    Passed,
    Pause,
    Step,
    answer,
    cases,
    sized,
)

CHUNKED = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"
SPLIT = b"HTTP/1.1 200 OK\r\nX-For: /next-1\r\nContent-Length: 6\r\n\r\n" + POISON

# Compressed answers. What relay undoes (gzip and deflate of event streams and of what it translates)
# must be refused at bounded memory; the rest may pass as it is.

_SAY = [{"role": "user", "content": "hi"}]
_ASK = json.dumps({"model": "m", "max_tokens": 5, "stream": True, "messages": _SAY}).encode()


_GZIP, _ZLIB, _BARE = 31, 15, -15


def _bomb(unit: bytes, wbits: int = _GZIP) -> bytes:
    """64 MiB of ``unit`` behind each other, packed. Its checksum is wrong: nobody gets there."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    plain = unit * (1024 * 1024 // len(unit))
    first, other = (packer.compress(plain) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + other * 63 + packer.flush()


def _packed(
    name: str,
    coding: bytes,
    body: bytes,
    *,
    relay: str = "502",
    path: bytes = b"",
    kind: bytes = b"text/event-stream",
    sizes: int = 0,
) -> Case:
    """An answer in this coding; 32 MiB of it must not be held. ``sizes``: in chunks of so many bytes."""
    framing = b"Transfer-Encoding: chunked" if sizes else b"Content-Length: %d" % len(body)
    if sizes:
        pieces = [body[at : at + sizes] for at in range(0, len(body), sizes)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + LAST
    said = answer(b"Content-Type: " + kind, b"Content-Encoding: " + coding, framing, body=body)
    sent = sized(_ASK, b"Content-Type: application/json", target=b"/case" + path)
    passed = Passed(body=None)
    return Case(
        "answer: compressed",
        name,
        "RFC 9110 §8.4; a bomb is more than 100 times its size",
        (sent,),
        (GATEWAY, Cut(), passed),
        relay,
        answer=(said,),
        growth=32,
    )


_STREAM = b"/v1/chat/completions"
_FRAME = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
PACKED = cases(
    "answer: compressed",
    [
        _packed("gzip: 64 MiB of NULs", b"gzip", _bomb(b"\0")),
        _packed("x-gzip: 64 MiB of NULs", b"x-gzip", _bomb(b"\0")),
        _packed("deflate: 64 MiB of NULs", b"deflate", _bomb(b"\0", _ZLIB)),
        _packed("bare deflate: 64 MiB of NULs", b"deflate", _bomb(b"\0", _BARE)),
        _packed("gzip: 64 MiB of line feeds", b"gzip", _bomb(b"\n")),
        _packed("gzip: 64 MiB of comments", b"gzip", _bomb(b":\n\n")),
        _packed("gzip: 64 MiB of frames", b"gzip", _bomb(b"data: {}\n\n")),
        _packed("gzip: one line of 64 MiB", b"gzip", _bomb(b"data: x")),
        _packed("gzip: 64 MiB of chat frames", b"gzip", _bomb(_FRAME), path=_STREAM),
        _packed("gzip: a completion's 64 MiB of comments", b"gzip", _bomb(b":\n\n"), path=_STREAM),
        _packed("gzip: 100 members of 1 MiB", b"gzip", gzip.compress(bytes(1024 * 1024), 9, mtime=0) * 100),
        _packed("gzip: 3,000 empty members", b"gzip", gzip.compress(b"", mtime=0) * 3000, relay="passed 200"),
        _packed("gzip: 64 MiB in chunks of 15 KiB", b"gzip", _bomb(b"data: {}\n\n"), sizes=15 * 1024),
        _packed(
            "gzip: 64 MiB in chunks of 100 bytes", b"gzip", _bomb(b"data: {}\n\n"), sizes=100, relay="cut"
        ),
        _packed(
            "gzip: a translated stream's 64 MiB of comments",
            b"gzip",
            _bomb(b":\n\n"),
            path=b"/v1/messages",
        ),
        _packed(
            "gzip: a document of 64 MiB that is to be translated",
            b"gzip",
            _bomb(b" "),
            path=b"/v1/messages",
            kind=b"application/json",
        ),
        _packed("gzip twice", b"gzip, gzip", gzip.compress(_bomb(b"\0")), relay="passed 200"),
        _packed("gzip within gzip", b"gzip", gzip.compress(_bomb(b"\0")), relay="passed 200"),
        _packed("br", b"br", b"\x1b\xff\xff" + bytes(1000), relay="passed 200"),
        _packed("zstd", b"zstd", b"\x28\xb5\x2f\xfd" + bytes(1000), relay="passed 200"),
        _packed("gzip that is none", b"gzip", b"hello " * 100),
        _packed("gzip that is cut", b"gzip", gzip.compress(b"data: {}\n\n" * 10_000)[:-20], relay="cut"),
    ],
)

# Streams of completions: the end of a broken one is told in its dialect, or the body is cut.

TOLD = Passed(body=None, holds=b'"error"')


def _stream(name: str, *said: Step, relay: str = "passed 200", lenient: bool = False) -> Case:
    """The first frame is sound, then the stream breaks; ``lenient``: it may be read as if it did not."""
    started = answer(
        b"Content-Type: text/event-stream", CHUNKED, body=b"%x\r\n%b\r\n" % (len(_FRAME), _FRAME)
    )
    sent = sized(_ASK, b"Content-Type: application/json", target=b"/case" + _STREAM)
    script = (started + said[0], *said[1:]) if isinstance(said[0], bytes) else (started, *said)
    return Case(
        "answer: streams",
        name,
        "RFC 9112 §8",
        (sent,),
        (*BROKEN, Passed(body=None) if lenient else TOLD),
        relay,
        answer=script,
    )


STREAMS = cases(
    "answer: streams",
    [
        _stream("a chunk size that is none", b"x\r\n"),
        _stream("a chunk longer than its size", b"1\r\nabc\r\n"),
        _stream("a bare LF behind a chunk", b"1\r\na\n0\r\n\r\n", lenient=True),
        _stream("another answer in the middle", SPLIT),
        _stream("closed", CLOSE),
        _stream("reset", Pause(0.1), RESET),
        _stream("silent for ever", HOLD),
        _stream("a frame that is no JSON", b"e\r\ndata: {%b\n\n\r\n" % POISON + LAST),
        _stream("a line without end", b"ffffff\r\ndata: ", Flood(b"y" * 4096, 5000), HOLD),
    ],
)

CASES = [*PACKED, *STREAMS]
