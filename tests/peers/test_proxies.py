"""Frames leave when the application lets them go, whatever stands before and behind relay.

No clock: frame k must have arrived before frame k+1 is released.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import select
import shutil
import subprocess
import zlib
from collections.abc import Callable

import pytest
import websockets

from .app import frame_of
from .conftest import LIMIT

Front = Callable[..., int]


class Stream:
    """A streaming request, read frame by frame from its socket."""

    coding = "identity"

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        headers = {"accept-encoding": self.coding}
        self.connection.request("POST", "/v1/chat/completions", body="{}", headers=headers)

    def open(self) -> None:
        self.response = self.connection.getresponse()

    def frame(self) -> bytes:
        lines = [self.response.readline(), self.response.readline()]
        return b"".join(lines)

    def close(self) -> None:
        if hasattr(self, "response"):
            self.response.close()
        self.connection.close()


class ZippedStream(Stream):
    """The same, asked for and read in gzip."""

    coding = "gzip"

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self.plain = b""

    def frame(self) -> bytes:
        while b"\n\n" not in self.plain:
            data = self.response.read1()
            assert data, "the stream ended"
            self.plain += self.inflater.decompress(data)
        frame, _, self.plain = self.plain.partition(b"\n\n")
        return frame + b"\n\n"


def call(port: int, method: str, path: str, body: bytes | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    connection.request(method, path, body=body)
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def each_frame_arrives_before_the_next_is_released(
    front: int, app: int, kind: type[Stream] = Stream
) -> Stream:
    stream = kind(front)
    for number in range(3):
        call(app, "POST", "/release")
        if number == 0:
            stream.open()
        assert stream.frame() == frame_of(number)
    assert stream.frame() == b"data: [DONE]\n\n"
    stream.response.read()
    return stream


def test_in_front_of_uvicorn(relay: Front, uvicorn: int) -> None:
    each_frame_arrives_before_the_next_is_released(relay(uvicorn), uvicorn).close()


ZIP_EVENT_STREAMS = "gzip on; gzip_types text/event-stream; gzip_min_length 0; gzip_proxied any;"


def test_behind_nginx_that_buffers_and_compresses(relay: Front, nginx: Front, uvicorn: int) -> None:
    front = nginx(relay(uvicorn), ZIP_EVENT_STREAMS)
    stream = each_frame_arrives_before_the_next_is_released(front, uvicorn, ZippedStream)
    assert stream.response.headers["content-encoding"] == "gzip"
    stream.close()


def test_without_relay_the_same_nginx_holds_frames_back(nginx: Front, uvicorn: int) -> None:
    """What the test above would see if relay did nothing. That nothing comes, only waiting can show."""
    stream = ZippedStream(nginx(uvicorn, ZIP_EVENT_STREAMS))
    call(uvicorn, "POST", "/release")
    call(uvicorn, "POST", "/release")
    arrived = b""
    while select.select([stream.connection.sock], [], [], 0.5)[0]:
        arrived += stream.connection.sock.recv(65536)
    stream.close()
    _, _, body = arrived.partition(b"\r\n\r\n")
    # At most the ten bytes of the gzip header have come, in one chunk.
    assert len(body) < 20


def test_behind_haproxy(relay: Front, haproxy: Front, uvicorn: int) -> None:
    each_frame_arrives_before_the_next_is_released(haproxy(relay(uvicorn)), uvicorn).close()


def test_in_front_of_haproxy(relay: Front, haproxy: Front, uvicorn: int) -> None:
    each_frame_arrives_before_the_next_is_released(relay(haproxy(uvicorn)), uvicorn).close()


def test_uvicorn_sees_the_client_leave(relay: Front, uvicorn: int) -> None:
    stream = Stream(relay(uvicorn))
    call(uvicorn, "POST", "/release")
    stream.open()
    assert stream.frame() == frame_of(0)
    stream.close()
    assert call(uvicorn, "GET", "/left") == b"left"


def test_an_upload_reaches_uvicorn_whole(relay: Front, uvicorn: int) -> None:
    body = bytes(range(256)) * 65536
    assert call(relay(uvicorn), "PUT", "/digest", body).decode() == hashlib.sha256(body).hexdigest()


async def test_a_websocket_of_uvicorn(relay: Front, uvicorn: int) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{relay(uvicorn)}/ws", proxy=None) as socket:
        await socket.send("hello")
        assert await socket.recv() == "HELLO"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_line_of_the_readme(relay: Front, fake: int) -> None:
    question = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    url = f"http://127.0.0.1:{relay(fake)}/v1/chat/completions"
    command = ["curl", "-sN", url, "-H", "content-type: application/json", "-d", json.dumps(question)]
    shown = subprocess.run(command, capture_output=True, timeout=LIMIT, check=True).stdout
    assert shown.count(b'"content":') > 20
    assert shown.endswith(b"data: [DONE]\n\n")
