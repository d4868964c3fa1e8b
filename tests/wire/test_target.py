"""Targets and hosts, read apart from heads; tests/wire/test_http1.py has them in whole heads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import ClientError
from relay.wire.target import has_dot_segments, origin_form

SOUP = st.lists(
    st.sampled_from([b"/", b"http://", b"h", b":80", b"?", b"#", b"@", b"*", b"[::1]", b"..", b"%2e", b"\\"])
).map(b"".join)


@given(st.sampled_from([b"GET", b"OPTIONS", b"CONNECT"]), SOUP, SOUP)
def test_any_target_is_a_path_for_one_host_or_refused(method: bytes, target: bytes, host: bytes) -> None:
    try:
        path, authority = origin_form(method, target, host)
    except ClientError:
        return
    assert path.startswith(b"/") or (path, method) == (b"*", b"OPTIONS")
    assert b"#" not in path
    assert not set(authority) & set(b"/?#@\\")
    assert authority == host or (authority in target and authority.lower() == (host or authority).lower())


def test_a_path_passes_as_it_came() -> None:
    for path in (b"/", b"//a", b"/a?b=http://c/#"[:-1], b"/%0d%0a", b"/a/../b"):
        assert origin_form(b"GET", path, b"h") == (path, b"h")


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (b"/a/../b", True),
        (b"/..", True),
        (b"/./a", True),
        (b"/a/.", True),
        (b"/%2e%2E/a", True),
        (b"/.%2e", True),
        (b"/..;/a", True),
        (b"/a/..?b", True),
        (b"/", False),
        (b"/...", False),
        (b"/.well-known", False),
        (b"/a..b/c.", False),
        (b"/a?b=/../c", False),
        (b"*", False),
    ],
)
def test_dot_segments_are_found_in_the_path_only(target: bytes, found: bool) -> None:
    assert has_dot_segments(target) is found
