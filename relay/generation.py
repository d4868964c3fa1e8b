"""What one reading of the settings becomes: sockets, certificates, and the work of its workers.

All that can be wrong is found here, in the supervisor, before a worker of it is started: files that
cannot be read, names that mean nothing, addresses that are taken. Workers are forked with what was
found, so a replacement serves with the certificates that were checked, not with a file that somebody
is just writing, and TLS sessions can be resumed at any worker.

Sockets outlive generations: an address that does not change keeps its socket, and with it whoever is
waiting there.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence

from relay import listen, tls, worker
from relay.address import ListenAddress
from relay.config import Settings, Upstream
from relay.errors import UsageError
from relay.metrics import Counters
from relay.systemd import Activated

log = logging.getLogger("relay")

_ADMIN = "admin"
"""The name of sockets that were handed over for the admin listener."""
_SLACK = 5.0
"""Seconds that a worker may take to end beyond what its drain allows."""


class Listener:
    """One address and its sockets: one for each worker where the system can tell them apart."""

    def __init__(self, address: ListenAddress, sockets: Iterable[socket.socket], *, inherited: bool) -> None:
        self.address = address
        self.sockets = list(dict.fromkeys(sockets))
        self._file = contextlib.ExitStack()
        if not inherited:
            self._file.enter_context(listen.unlinked_at_end([address]))

    @property
    def url(self) -> str:
        return listen.bound_url(self.address, self.sockets[0])

    def of(self, place: int, workers: int) -> Sequence[socket.socket]:
        """Those that this worker accepts from: each is somebody's, however many there are of either."""
        return self.sockets[place::workers] or [self.sockets[place % len(self.sockets)]]

    def permit(self, mode: int | None) -> None:
        """Permission bits of a UNIX socket that was bound with others."""
        if self.address.path is not None and mode is not None:
            with contextlib.suppress(OSError):
                os.chmod(self.address.path, mode)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self._file.close()


_Key = tuple[str, ListenAddress, int]
"""What it is for, where, and the how manieth: port 0 may be asked for several times."""


class Listeners:
    """The sockets that the supervisor keeps, so that what queues for a dead worker is served by the next."""

    def __init__(self, activated: Sequence[Activated] = ()) -> None:
        inherited = [
            (one.name, Listener(_address(one.sock), [one.sock], inherited=True)) for one in activated
        ]
        self._clients = [listener for name, listener in inherited if name != _ADMIN]
        self._admin = [listener for name, listener in inherited if name == _ADMIN]
        self._bound: dict[_Key, Listener] = {}

    def open(self, settings: Settings) -> tuple[list[Listener], list[Listener]]:
        """Those for clients and those of the admin listener; what was handed over replaces what is asked for.

        UsageError leaves all as it was.
        """
        before = set(self._bound)
        try:
            clients = self._clients or [
                self._bind(key, settings.workers, settings.socket_mode) for key in _keys("", settings.listen)
            ]
            admin = self._admin or [
                self._bind(key, 1, settings.socket_mode) for key in _keys(_ADMIN, settings.admin)
            ]
        except UsageError:
            for key in set(self._bound) - before:
                self._bound.pop(key).close()
            raise
        return clients, admin

    def keep_only(self, wanted: Sequence[Listener], mode: int | None = None) -> None:
        """Close those that nobody asks for any more; the others have these permissions now."""
        for key, listener in list(self._bound.items()):
            if listener in wanted:
                listener.permit(mode)
            else:
                self._bound.pop(key).close()

    def close_sockets(self, but: Sequence[socket.socket] = ()) -> None:
        """In this process; another one may go on listening."""
        for listener in (*self._bound.values(), *self._clients, *self._admin):
            for sock in listener.sockets:
                if sock not in but:
                    sock.close()

    def close(self) -> None:
        """For good: nobody listens any more."""
        self.close_sockets()
        self.keep_only([])

    def _bind(self, key: _Key, workers: int, mode: int | None) -> Listener:
        if key not in self._bound:
            address = key[1]
            sockets = listen.bind_each(address, workers, mode=mode)
            self._bound[key] = Listener(address, sockets, inherited=False)
        return self._bound[key]


class Generation:
    """The workers of one configuration."""

    def __init__(
        self,
        settings: Settings,
        listeners: Listeners,
        announce: Callable[[Generation], str],
        counters: Counters | None = None,
    ) -> None:
        """UsageError says what cannot be used; then nothing has changed.

        ``announce`` says that every worker serves, and returns what has changed.
        """
        self.settings = settings
        self.workers = settings.workers
        self.patience = settings.drain.delay + settings.drain.timeout + worker.FAREWELL + _SLACK
        self._upstream_tls = tls.upstream_context(settings)
        self._client_tls = tls.listening_context(settings.tls) if settings.tls is not None else None
        for upstream in settings.upstreams:
            _look_up(upstream, settings)
        self._listeners = listeners
        self._announce = announce
        self.clients, self.admin = listeners.open(settings)
        self._counters = counters or Counters()
        self._counters.know("upstream", map(str, settings.upstreams))

    def work(self, place: int, ready: Callable[[], None], lifeline: int) -> int:
        """Be the worker of this place; returns the exit code."""
        clients = [sock for listener in self.clients for sock in listener.of(place, self.workers)]
        admin = [sock for listener in self.admin for sock in listener.sockets]
        self._listeners.close_sockets(but=[*clients, *admin])
        contexts = self._upstream_tls, self._client_tls
        duties = worker.Duties(self.settings, clients, admin, *contexts, self._counters)
        return worker.run(duties, ready, lifeline)

    def serves(self) -> str:
        """Every worker does. Returns what has changed."""
        self._listeners.keep_only([*self.clients, *self.admin], self.settings.socket_mode)
        return self._announce(self)

    def stops(self) -> None:
        """Workers are about to stop listening; the system must not go on queueing clients here."""
        self._listeners.close_sockets()


def _keys(purpose: str, addresses: Sequence[ListenAddress]) -> Iterator[_Key]:
    for at, address in enumerate(addresses):
        yield purpose, address, addresses[:at].count(address)


def _address(sock: socket.socket) -> ListenAddress:
    """Where a socket listens that was bound by another; an abstract name begins with @."""
    name = sock.getsockname()
    if sock.family != socket.AF_UNIX:
        return ListenAddress(str(name[0]), int(name[1]))
    path = name if isinstance(name, str) else name.decode(errors="replace").replace("\0", "@")
    return ListenAddress(path=path)


def _look_up(upstream: Upstream, settings: Settings) -> None:
    """Fail now rather than at the first request when the upstream's name means nothing."""
    origin = upstream.origin
    if origin.path is not None:
        return
    try:
        socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        said = f"the upstream host {origin.host!r} cannot be resolved: {error.strerror}"
        if settings.litellm is None or not upstream.sdk:
            raise UsageError(said) from error
        log.warning("%s; its requests go through LiteLLM until it can be", said)
