"""nginx as it comes, and what makes it stream: one header of relay's, shown by taking it away.

With its default HTTP/1.0 towards relay, nginx holds frames back until a buffer is full or the
answer ends. That something is held can only be shown by waiting; half a second each time.
"""

from __future__ import annotations

import select

import pytest

from .test_proxies import Front, Stream, ZippedStream, call, each_frame_arrives_before_the_next_is_released

IGNORE = "proxy_ignore_headers X-Accel-Buffering;"
ZIP_ANYTHING = (
    "gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0; gzip_http_version 1.0;"
    "proxy_buffering off; add_header x-asked-for $http_accept_encoding;"
)


def nothing_arrives_until_the_end(front: int, app: int) -> None:
    """Two of three frames are released and none is readable; with the third, all of them come."""
    stream = Stream(front)
    try:
        call(app, "POST", "/release")
        call(app, "POST", "/release")
        assert not select.select([stream.connection.sock], [], [], 0.5)[0]
        call(app, "POST", "/release")
        stream.open()
        assert stream.response.read().count(b"data: ") == 4
    finally:
        stream.close()


def test_nginx_with_its_defaults_streams_behind_relay(relay: Front, nginx: Front, uvicorn: int) -> None:
    front = nginx(relay(uvicorn), version="1.0")
    each_frame_arrives_before_the_next_is_released(front, uvicorn).close()


def test_nginx_with_its_defaults_holds_frames_back(nginx: Front, uvicorn: int) -> None:
    nothing_arrives_until_the_end(nginx(uvicorn, version="1.0"), uvicorn)


def test_it_is_the_header_that_makes_nginx_stream(relay: Front, nginx: Front, uvicorn: int) -> None:
    """The same nginx and the same relay, but nginx is told not to heed ``x-accel-buffering``."""
    nothing_arrives_until_the_end(nginx(relay(uvicorn), IGNORE, version="1.0"), uvicorn)


def test_nginx_would_compress_for_the_same_client(nginx: Front, uvicorn: int) -> None:
    """Without relay: what the test below would see if relay passed the client's wish on."""
    stream = each_frame_arrives_before_the_next_is_released(
        nginx(uvicorn, ZIP_ANYTHING), uvicorn, ZippedStream
    )
    assert stream.response.headers["content-encoding"] == "gzip"
    stream.close()


class WillingStream(Stream):
    """Offers gzip and reads what comes as plain text."""

    coding = "gzip"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_relay_asks_nginx_for_identity(relay: Front, nginx: Front, uvicorn: int, version: str) -> None:
    front = relay(nginx(uvicorn, ZIP_ANYTHING, version=version))
    stream = each_frame_arrives_before_the_next_is_released(front, uvicorn, WillingStream)
    assert stream.response.headers["x-asked-for"] == "identity"
    assert stream.response.headers["content-encoding"] is None
    stream.close()
