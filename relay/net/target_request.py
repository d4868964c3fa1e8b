"""One request as one target gets it: in its dialect, under its base path, with relay's own fields."""

from __future__ import annotations

from typing import Protocol

from relay.config import Upstream
from relay.net.document import Document
from relay.net.relay import Client
from relay.net.translating import Treatment
from relay.net.upload import Upload
from relay.net.upstream import UpstreamConnection
from relay.wire import forwarding
from relay.wire.framing import Buffer
from relay.wire.http1 import Outbound, RequestHead


class RequestOwner(Protocol):
    """Whose request it is."""

    id: str
    head: RequestHead
    client: Client
    upload: Upload | Document


class TargetRequest:
    """Sent once, or again on a fresh connection when a pooled one had died."""

    __slots__ = ("_body", "_owner", "_upstream", "head")

    def __init__(self, owner: RequestOwner, upstream: Upstream) -> None:
        self._owner = owner
        self._upstream = upstream
        self._body: Buffer = b""
        self.head = owner.head

    def prepare(self, treatment: Treatment | None) -> None:
        """Write the document that this target gets; raises BadDocument where it cannot be told."""
        upload = self._owner.upload
        if not isinstance(upload, Document):
            return
        if treatment is None:
            self.head, self._body = self.head.with_document(len(upload.body)), upload.body
        else:
            self.head, self._body = treatment.ask(self.head, upload.body)

    def send(self, connection: UpstreamConnection) -> None:
        """The head, and what is here of the body."""
        client, upload = self._owner.client, self._owner.upload
        head = forwarding.write_request(
            Outbound(), self.head, self._upstream, client=client.address, scheme=client.scheme
        )
        if isinstance(upload, Document):
            connection.outlet.writelines([head, self._body] if self._body else [head])
        else:
            upload.begin(connection.outlet, head, keep=connection.reused)
            client.feed()  # body bytes that came early leave together with the head
            upload.flush()

    def stop(self) -> None:
        """The connection is gone: what the client sends waits for the next."""
        if isinstance(self._owner.upload, Upload):
            self._owner.upload.stop()

    def repeatable(self, *, unread: bool) -> bool:
        """Sending it again cannot do anything twice."""
        upload = self._owner.upload
        return unread if isinstance(upload, Document) else upload.repeatable(unread=unread)
