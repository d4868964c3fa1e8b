"""The exchange as its attempts see it, and what an attempt tells it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from relay.errors import RelayError
from relay.net.document import Document
from relay.net.relay import Client
from relay.net.upload import Upload
from relay.net.way import Way
from relay.retry import Fate
from relay.wire.forwarding import ResponseForm
from relay.wire.http1 import RequestHead, ResponseHead

A = TypeVar("A", contravariant=True)
"""An attempt."""


class RequestOwner(Protocol):
    """Whose request it is."""

    id: str
    head: RequestHead
    client: Client
    upload: Upload | Document
    way: Way
    began: float
    """By the loop's clock."""


class Owner(RequestOwner, Protocol[A]):
    """The exchange as its attempts see it."""

    @property
    def keep(self) -> bool:
        """The client's connection goes on after this exchange."""

    def informational(self, head: ResponseHead) -> None: ...

    def response_head(self, attempt: A, head: ResponseHead, form: ResponseForm) -> bytes:
        """The head as the client gets it."""

    def switched(self, head: ResponseHead, protocol: bytes) -> None:
        """Tell the client that the upstream has changed to this protocol."""

    def again(self, fate: Fate, wait: float | None) -> float | None:
        """Seconds until another attempt may begin; None: none may."""

    def failed(self, attempt: A, error: RelayError, after: float | None) -> None:
        """Nothing came of it; another may begin ``after`` so many seconds, or none may."""

    def committed(self, attempt: A) -> None: ...

    def finished(self, attempt: A, *, linger: bool) -> None: ...

    def cut(self, attempt: A, error: RelayError) -> None: ...
