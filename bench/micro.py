"""What each machine costs by itself: ``python bench/micro.py``.

Every figure is the median over several interleaved rounds of the time one call takes, in
microseconds, on whatever machine this is. Use them for proportions. The outlet's rows write to a
socket pair that a thread of another process empties, so they contain the kernel's share.

The second table tells what a delta costs in each dialect, unchecked, checked and mended (`streams.py`),
the third what it costs in another dialect (`translations.py`).

The question behind the outlet rows: is one gathering system call straight to the client's socket
cheaper than ``transport.writelines``? The answer and its figures are in bench/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import streams
import translations
import uvloop
from tables import insert, table

from relay.errors import ClientError
from relay.net.outlet import Outlet
from relay.stream import ResponseStream
from relay.wire.framing import ChunkedDecoder, ChunkedEncoder, Reframer, UntilCloseDecoder
from relay.wire.http1 import HeadReader, Inbound, Outbound
from relay.wire.sse import FrameScanner

FRAME = b'data: {"choices":[{"delta":{"content":"' + b"x" * 158 + b'"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(FRAME), FRAME)
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:8787\r\naccept: application/json\r\n"
    b"accept-encoding: gzip, deflate\r\ncontent-type: application/json\r\n"
    b"authorization: Bearer sk-0123456789\r\nuser-agent: bench\r\ncontent-length: 2\r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ndate: Sat, 21 Nov 2026 10:00:00 GMT\r\n"
    b"server: uvicorn\r\ntransfer-encoding: chunked\r\n\r\n"
)


def machines() -> dict[str, Callable[[], object]]:
    """One call each of what a delta, or a request, passes through."""
    buffer = bytearray(64 * 1024)
    buffer[: len(CHUNK)] = CHUNK
    view, size = memoryview(buffer), len(CHUNK)
    four = CHUNK * 4
    many = bytearray(four)
    many_view = memoryview(many)
    half = len(FRAME) // 2
    split = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (FRAME[:half], FRAME[half:]))
    split_data = bytearray(split)
    split_view = memoryview(split_data)

    chunked, spans = ChunkedDecoder(), []
    scanner = FrameScanner()
    passing = ResponseStream(ChunkedDecoder(), ChunkedEncoder(), frame_limit=1 << 24)
    unframed = Reframer(ChunkedDecoder(), ChunkedEncoder())
    from_close = ResponseStream(UntilCloseDecoder(), ChunkedEncoder(), frame_limit=1 << 24)
    frame = bytearray(FRAME)
    frame_view = memoryview(frame)

    def decode() -> None:
        spans.clear()
        chunked.receive(buffer, 0, size, spans)

    def request_head() -> None:
        raw, _ = HeadReader(65536, 100, ClientError).receive(HEAD, 0, len(HEAD))
        assert raw is not None
        Inbound().receive_request(raw)

    def both_heads() -> None:
        raw, _ = HeadReader(65536, 100, ClientError).receive(HEAD, 0, len(HEAD))
        assert raw is not None
        inbound, outbound = Inbound(), Outbound()
        head = inbound.receive_request(raw)
        outbound.request(head.method, head.target, head.headers)
        answer = outbound.receive_response(ANSWER, b"POST")
        inbound.response(answer.status, answer.reason, answer.headers)

    return {
        "framing: one whole chunk": decode,
        "frames: a piece that ends with its frame": lambda: scanner.receive(frame, 0, len(FRAME)),
        "frames: a piece that does not": lambda: scanner.receive(frame, 0, len(FRAME) - 1),
        "ResponseStream: one chunk, one frame": lambda: passing.receive(buffer, view, 0, size),
        "ResponseStream: four chunks in one read": lambda: passing.receive(many, many_view, 0, len(four)),
        "ResponseStream: one frame in two chunks": lambda: passing.receive(
            split_data, split_view, 0, len(split)
        ),
        "ResponseStream: until close to chunked": lambda: from_close.receive(
            frame, frame_view, 0, len(FRAME)
        ),
        "Reframer: one chunk, frames unseen": lambda: unframed.receive(buffer, view, 0, size),
        "head: one request read": request_head,
        "heads: request and response, both sides": both_heads,
    }


async def outlets(calls: int) -> dict[str, Callable[[], object]]:
    """The same chunk through the outlet and through the transport."""
    loop = asyncio.get_running_loop()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    three = [b"%x\r\n" % len(FRAME), memoryview(FRAME), b"\r\n"]

    async def transport() -> asyncio.Transport:
        ours, theirs = _tcp_pair()
        _drain_in_child(theirs)
        made, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        made.set_write_buffer_limits(high=1 << 30)
        return made

    direct = Outlet(await transport())
    direct_three = Outlet(await transport())
    plain, uncopied, plain_three = await transport(), await transport(), await transport()
    return {
        "outlet.write: the chunk in one buffer": lambda: direct.write(view),
        "transport.write: the same, copied first": lambda: plain.write(bytes(view)),
        "transport.write: the same, uncopied": lambda: uncopied.write(view),
        "outlet.writelines: three buffers": lambda: direct_three.writelines(three),
        "transport.writelines: the same three": lambda: plain_three.writelines(three),
    }


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ours.setblocking(False)
    return ours, theirs


TABLES = {"streams": streams, "translate": translations}
_children: list[int] = []


def _drain_in_child(sock: socket.socket) -> None:
    pid = os.fork()
    if pid:
        _children.append(pid)
        sock.close()
        return
    while sock.recv(1 << 20):
        pass
    os._exit(0)


def measure(rows: dict[str, Callable[[], object]], rounds: int, calls: int) -> dict[str, float]:
    """Median microseconds per call; the rows take turns, so that a slow moment hits them all."""
    samples: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, call in rows.items():
            begin = time.perf_counter_ns()
            for _ in range(calls):
                call()
            samples[name].append((time.perf_counter_ns() - begin) / calls / 1000)
    return {name: statistics.median(values) for name, values in samples.items()}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=5000)
    parser.add_argument("--only", choices=["machines", *TABLES], help="one of the three tables")
    parser.add_argument("--write", action="store_true", help="all but the first into bench/README.md")
    args = parser.parse_args()
    if args.only in (None, "machines"):
        await show_machines(args.rounds, args.calls)
    for name, told in TABLES.items():
        if args.only in (None, name):
            text = told.render(told.measure(args.rounds, args.calls)) + "\n"
            print(text)
            if args.write:
                insert(Path(__file__).with_name("README.md"), name, text)


async def show_machines(rounds: int, calls: int) -> None:
    try:
        results = measure(machines(), rounds, calls)
        results |= measure(await outlets(calls), rounds, min(calls, 2000))
    finally:
        for pid in _children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    print(table(["one call", "µs"], [[name, f"{found:.2f}"] for name, found in results.items()]) + "\n")


if __name__ == "__main__":
    uvloop.run(main())
