"""Settings: what an operator may write, and that everything else is refused with a reason."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.address import ListenAddress, Origin, seconds, size
from relay.config import Drain, Health, Limits, Queue, Retry, Settings, Timeouts, Tls, Upstream
from relay.errors import UsageError

LONGEST = "/" + "s" * 106


@pytest.mark.parametrize(
    ("text", "address", "url"),
    [
        ("127.0.0.1:8787", ListenAddress("127.0.0.1", 8787), "http://127.0.0.1:8787"),
        ("localhost:0", ListenAddress("localhost", 0), "http://localhost:0"),
        ("a-b.example:65535", ListenAddress("a-b.example", 65535), "http://a-b.example:65535"),
        (":8787", ListenAddress("", 8787), "http://:8787"),
        ("[::1]:8787", ListenAddress("::1", 8787), "http://[::1]:8787"),
        ("[::]:80", ListenAddress("::", 80), "http://[::]:80"),
        ("[fe80::1%eth0]:80", ListenAddress("fe80::1%eth0", 80), "http://[fe80::1%eth0]:80"),
        ("unix:/run/relay.sock", ListenAddress(path="/run/relay.sock"), "unix:/run/relay.sock"),
        (f"unix:{LONGEST}", ListenAddress(path=LONGEST), f"unix:{LONGEST}"),
    ],
)
def test_a_listen_address_is_read_and_written_back(text: str, address: ListenAddress, url: str) -> None:
    assert ListenAddress.parse(text) == address
    assert str(address) == text
    assert address.url == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8787",
        "localhost",
        "localhost:",
        "localhost:port",
        "localhost:-1",
        "localhost:65536",
        "localhost:123456",
        "localhost:80 ",
        " localhost:80",
        "local host:80",
        "::1:80",
        "[::1]",
        "[::1:80",
        "[]:80",
        "http://localhost:80",
        "localhost:80/path",
        "unix:",
        f"unix:{LONGEST}s",
        "unix:/" + "é" * 54,
    ],
)
def test_what_is_no_listen_address_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        ListenAddress.parse(text)


LENIENT = [
    pytest.param("[localhost]:80", id="a name in the brackets of an IPv6 address"),
    pytest.param("localhost:\u0668\u0660", id="a port in Arabic digits"),
    pytest.param("unix:/run/\udcff.sock", id="a path that is no UTF-8 raises UnicodeEncodeError"),
]


@pytest.mark.parametrize("text", LENIENT)
def test_a_listen_address_that_cannot_be_listened_on_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        ListenAddress.parse(text)


@pytest.mark.parametrize(
    ("text", "origin", "base_path", "written"),
    [
        ("http://h", Origin("h", 80), "", "http://h"),
        ("http://h/", Origin("h", 80), "", "http://h"),
        ("http://h:8000", Origin("h", 8000), "", "http://h:8000"),
        ("http://h:80/v1/", Origin("h", 80), "/v1", "http://h/v1"),
        ("https://API.Example.com/a/b%20c", Origin("api.example.com", 443, True), "/a/b%20c", None),
        ("https://h:443", Origin("h", 443, True), "", "https://h"),
        ("https://h:80", Origin("h", 80, True), "", "https://h:80"),
        ("http://[::1]:9000", Origin("::1", 9000), "", "http://[::1]:9000"),
        ("https://bücher.example", Origin("xn--bcher-kva.example", 443, True), "", None),
        ("unix:/run/up.sock", Origin("localhost", 0, path="/run/up.sock"), "", "unix:/run/up.sock"),
    ],
)
def test_an_upstream_is_an_origin_and_a_base_path(
    text: str, origin: Origin, base_path: str, written: str | None
) -> None:
    upstream = Upstream.parse(text)
    assert upstream == Upstream(origin, base_path)
    assert written is None or str(upstream) == written
    assert Upstream.parse(str(upstream)) == upstream


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "h:8000",
        "localhost:8000/v1",
        "//h",
        "ftp://h",
        "http://",
        "http:///path",
        "http://:8000",
        "http://h:0",
        "http://h:65536",
        "http://h:port",
        "http://h:-1",
        "http://h?a=b",
        "http://h/#fragment",
        "http://user@h",
        "http://user:password@h",
        "http://:password@h",
        "http://h/a b",
        "http://h/é",
        "http://[::1",
        "http://" + "a" * 64 + ".example",
        "http://a..b",
        "http://\udcff",
        "unix:",
        f"unix:{LONGEST}s",
    ],
)
def test_what_is_no_upstream_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Upstream.parse(text)


@pytest.mark.parametrize("host", ["a b", "<h>", 'a"b', "a\\b", "h\x01"])
def test_an_upstream_host_that_no_host_field_may_hold_is_refused(host: str) -> None:
    with pytest.raises(UsageError):
        Upstream.parse(f"http://{host}/")


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("h", 80), "h"),
        (Origin("h", 443), "h:443"),
        (Origin("h", 443, tls=True), "h"),
        (Origin("h", 80, tls=True), "h:80"),
        (Origin("h", 8000), "h:8000"),
        (Origin("::1", 80), "[::1]"),
        (Origin("::1", 8443, tls=True), "[::1]:8443"),
        (Origin("localhost", 0, path="/run/up.sock"), "localhost"),
    ],
)
def test_the_authority_of_an_origin_leaves_out_the_default_port(origin: Origin, authority: str) -> None:
    assert origin.authority == authority


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("250ms", 0.25),
        ("5s", 5.0),
        ("0s", 0.0),
        ("1.5s", 1.5),
        ("0.5m", 30.0),
        ("2m", 120.0),
        ("1h", 3600.0),
    ],
)
def test_a_duration_is_a_number_with_its_unit(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "5 s",
        " 5s",
        "5s ",
        "5S",
        "-5s",
        "+5s",
        "5.s",
        ".5s",
        "5,5s",
        "1e3s",
        "infs",
        "nans",
        "5s5s",
        "5d",
        "1234567890s",
        "1.0000000001s",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a number with its unit"):
        seconds(text)


def test_a_duration_in_arabic_digits_is_refused() -> None:
    with pytest.raises(UsageError):
        seconds("\u0665s")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0B", 0),
        ("512B", 512),
        ("16KiB", 16 * 1024),
        ("64MiB", 64 * 1024 * 1024),
        ("2GiB", 2 * 1024**3),
        ("16KB", 16_000),
        ("64MB", 64_000_000),
        ("1GB", 1_000_000_000),
    ],
)
def test_a_size_is_a_whole_number_with_its_unit(text: str, value: int) -> None:
    assert size(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "0",
            "65536",
            "KiB",
            "16 KiB",
            " 16KiB",
            "16KiB ",
            "16K",
            "16k",
            "16kb",
            "16kib",
            "16Ki",
            "16iB",
        ),
        *("-1KiB", "+1KiB", "1.5MiB", "1,5MiB", "1e3B", "1TiB", "16KiB16KiB", "1234567890B", "\u0661KiB"),
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="a whole number with its unit"):
        size(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://user:SECRET@h",
        "http://SECRET@h",
        "http://user:SEC@RET@h",
        "http://user:SEC/RET@h",
        "http://user:SEC?RET@h",
        "http://user:SEC#RET@h",
        "http://user:SECRET@[::1",
        "http://user:SECRET@h:port",
        "http://user:SECRET@h\u2100",
        "http:/user:SECRET@h",
        "user:SECRET@h",
        "ftp://user:SECRET@h",
        "http://h/?key=SECRET",
        "http://h:port/?key=SECRET",
        "https://h?key=SECRET#fragment",
    ],
)
def test_an_upstream_that_is_refused_shows_no_secret(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Upstream.parse(text)
    assert not any(part in str(caught.value) for part in ("SEC", "RET"))


TEXT = st.text(alphabet="ah:/[]@?#.%0158- é", max_size=15)


@settings(deadline=None)
@given(TEXT | TEXT.map("http://{}".format) | TEXT.map("unix:{}".format))
def test_any_text_is_read_and_written_back_or_a_usage_error(text: str) -> None:
    for kind in (ListenAddress, Upstream):
        try:
            parsed = kind.parse(text)
        except UsageError:
            continue
        assert kind.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "kind", [Settings, Timeouts, Limits, ListenAddress, Origin, Upstream, Retry, Queue, Health, Drain, Tls]
)
def test_settings_cannot_be_changed_while_relay_runs(kind: type) -> None:
    assert dataclasses.fields(kind)
    assert kind.__dataclass_params__.frozen
