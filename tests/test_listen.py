"""Listening sockets: files with the bits that were asked for, the stale replaced, all else left alone."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay import listen
from relay.address import ListenAddress
from relay.errors import UsageError
from relay.listen import bind, bind_each, bound_url, unlinked_at_end


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "relay.sock"


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def at(path: Path) -> ListenAddress:
    return ListenAddress(path=str(path))


def bits(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def umask_now() -> int:
    now = os.umask(0o777)
    os.umask(now)
    return now


def reaches(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def abandoned(path: Path) -> None:
    """A socket whose owner has gone without a word."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


# --- permission bits --------------------------------------------------------------------------


class Watched(socket.socket):
    """Notes with which bits its file came into being."""

    seen: list[int]

    def bind(self, address: object) -> None:  # type: ignore[override]
        super().bind(address)  # type: ignore[arg-type]
        if isinstance(address, str):
            self.seen.append(bits(Path(address)))


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o770, 0o000])
@pytest.mark.parametrize("stale", [False, True])
def test_a_unix_socket_has_these_bits_from_its_first_moment(
    path: Path, umask: int, mode: int, stale: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stale:
        abandoned(path)
        path.chmod(0o777)
    Watched.seen = []
    monkeypatch.setattr(listen.socket, "socket", Watched)
    with bind(at(path), mode=mode):
        assert Watched.seen == [mode]
        assert bits(path) == mode
    assert umask_now() == umask


def test_without_a_mode_the_umask_decides(path: Path, umask: int) -> None:
    with bind(at(path)):
        assert bits(path) == 0o777 & ~umask
    assert umask_now() == umask


def test_a_bind_that_fails_gives_the_umask_back(tmp_path: Path, umask: int) -> None:
    with pytest.raises(UsageError, match="No such file"):
        bind(at(tmp_path / "no" / "folder.sock"), mode=0o600)
    assert umask_now() == umask


def test_all_workers_accept_from_one_unix_socket_with_its_bits(path: Path) -> None:
    one, *others = bind_each(at(path), 3, mode=0o640)
    assert [one, one] == others
    assert bits(path) == 0o640
    one.close()


# --- what is there already --------------------------------------------------------------------


def test_a_stale_socket_is_replaced(path: Path) -> None:
    abandoned(path)
    assert not reaches(path)
    with bind(at(path)):
        assert reaches(path)


def test_a_live_socket_is_refused_and_left_alone(path: Path) -> None:
    with bind(at(path)), pytest.raises(UsageError, match="in use"):
        bind(at(path))
    assert path.exists()


def test_a_live_socket_whose_queue_is_full_keeps_nobody_waiting(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as one:
        busy.bind(str(path))
        busy.listen(0)
        one.connect(str(path))
        with pytest.raises(UsageError, match="in use"):
            bind(at(path))
    assert path.exists()


def test_a_live_socket_that_may_not_be_connected_to_is_refused(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may connect to anything")
    with bind(at(path), mode=0o000), pytest.raises(UsageError):
        bind(at(path))
    assert path.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link to a file"])
def test_what_is_no_socket_is_never_removed(path: Path, tmp_path: Path, kind: str) -> None:
    """Connecting to a plain file is refused, just as connecting to a dead socket is."""
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("a diary")
    else:
        (tmp_path / "diary").write_text("a diary")
        path.symlink_to(tmp_path / "diary")
    with pytest.raises(UsageError, match="in use"):
        bind(at(path))
    assert path.is_dir() if kind == "folder" else path.read_text() == "a diary"


# --- the end ----------------------------------------------------------------------------------


def test_the_file_goes_with_the_relay(path: Path) -> None:
    with bind(at(path)), unlinked_at_end([at(path), ListenAddress("127.0.0.1", 0)]):
        assert path.exists()
    assert not path.exists()


def test_the_file_of_the_relay_that_took_over_stays(path: Path) -> None:
    """The old one drains with its socket closed; its name belongs to the new one by then."""
    old = bind(at(path))
    with unlinked_at_end([at(path)]):
        old.close()
        new = bind(at(path))
    assert reaches(path)
    new.close()


@pytest.mark.parametrize("left", ["nothing", "a file"])
def test_a_file_that_is_gone_already_is_no_trouble(path: Path, left: str) -> None:
    with bind(at(path)), unlinked_at_end([at(path)]):
        path.unlink()
        if left == "a file":
            path.write_text("a diary")
    assert path.exists() == (left == "a file")


# --- TCP --------------------------------------------------------------------------------------


def test_workers_have_sockets_of_their_own_on_one_port() -> None:
    socks = bind_each(ListenAddress("127.0.0.1", 0), 3, mode=0o600)
    assert len({sock.fileno() for sock in socks}) == 3
    assert len({sock.getsockname() for sock in socks}) == 1
    assert bound_url(ListenAddress("127.0.0.1", 0), socks[0]).endswith(f":{socks[0].getsockname()[1]}")
    for sock in socks:
        sock.close()


def test_a_port_in_use_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ListenAddress("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(UsageError, match=rf"{address}.*choose another with --listen"):
            bind(address)


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.invalid:1.*unknown"):
        bind(ListenAddress("nowhere.invalid", 1))
