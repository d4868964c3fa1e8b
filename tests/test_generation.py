"""Who accepts from which socket, and which sockets stay."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.address import ListenAddress
from relay.config import LiteLLM, Settings, Upstream
from relay.errors import UsageError
from relay.generation import Generation, Listener, Listeners

ANY = ListenAddress("127.0.0.1", 0)
SETTINGS = Settings(upstreams=(Upstream.parse("http://127.0.0.1:9"),), listen=(ANY,))


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    with contextlib.closing(Listeners()) as listeners:
        yield listeners


@pytest.mark.parametrize("workers", range(1, 6))
@pytest.mark.parametrize("sockets", range(1, 6))
def test_every_socket_is_somebodys_and_everybody_has_one(sockets: int, workers: int) -> None:
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.socket()) for _ in range(sockets)]
        listener = Listener(ANY, made, inherited=False)
        shares = [listener.of(place, workers) for place in range(workers)]
        assert all(shares)
        assert {sock for share in shares for sock in share} == set(made)
        assert max(map(len, shares)) == -(-sockets // workers)


def test_port_0_is_a_port_of_its_own_each_time(listeners: Listeners) -> None:
    clients, admin = listeners.open(replace(SETTINGS, listen=(ANY, ANY), admin=(ANY,), workers=2))
    ports = {sock.getsockname()[1] for one in (*clients, *admin) for sock in one.sockets}
    assert len(ports) == 3
    assert [len(one.sockets) for one in (*clients, *admin)] == [2, 2, 1]


def test_what_stays_is_the_same_socket(listeners: Listeners, tmp_path: Path) -> None:
    unix = ListenAddress(path=str(tmp_path / "a"))
    (first, second), _ = listeners.open(replace(SETTINGS, listen=(ANY, unix)))
    (kept, also), _ = listeners.open(replace(SETTINGS, listen=(unix, ANY), workers=3))
    assert (kept, also) == (second, first)


def test_an_address_that_is_taken_leaves_nothing_behind(listeners: Listeners, tmp_path: Path) -> None:
    new = tmp_path / "new"
    (first,), _ = listeners.open(SETTINGS)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = ListenAddress("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(UsageError, match=str(refused)):
            listeners.open(replace(SETTINGS, listen=(ANY, ListenAddress(path=str(new)), refused)))
    assert not new.exists()
    assert listeners.open(SETTINGS)[0] == [first]
    assert first.sockets[0].fileno() > 0


DEAD = Upstream.parse("https://no-such-provider.invalid")


def test_a_host_that_means_nothing_is_an_error_at_the_start(listeners: Listeners) -> None:
    with pytest.raises(UsageError, match=r"no-such-provider\.invalid"):
        Generation(replace(SETTINGS, upstreams=(DEAD,)), listeners, lambda _: None)


def test_a_provider_behind_which_litellm_stands_may_come_later(
    listeners: Listeners, caplog: pytest.LogCaptureFixture
) -> None:
    upstreams = (*SETTINGS.upstreams, replace(DEAD, sdk=True))
    settings = replace(SETTINGS, upstreams=upstreams, litellm=LiteLLM("config.yaml"))
    assert Generation(settings, listeners, lambda _: None).workers == 1
    assert "no-such-provider.invalid" in caplog.text
    assert "through LiteLLM until" in caplog.text
