"""One request as one target gets it: in its dialect, under its base path, with relay's own fields."""

from __future__ import annotations

from relay.net.document import Document
from relay.net.owner import RequestOwner
from relay.net.translating import Treatment
from relay.net.upload import Upload
from relay.net.upstream import UpstreamConnection
from relay.routing import Target
from relay.wire import edit, forwarding
from relay.wire.credentials import with_credentials
from relay.wire.framing import Buffer
from relay.wire.http1 import Outbound


class TargetRequest:
    """Sent once, or again on a fresh connection when a pooled one had died."""

    __slots__ = ("_body", "_owner", "_target", "_upstream", "head")

    def __init__(self, owner: RequestOwner, target: Target) -> None:
        self._owner = owner
        self._target = target
        self._upstream = target.upstream
        self._body: Buffer = b""
        self.head = owner.head

    def prepare(self, treatment: Treatment | None) -> None:
        """Write the document that this target gets; raises BadDocument where it cannot be told."""
        upload = self._owner.upload
        if isinstance(upload, Document):
            body = self._renamed(upload.body)
            if treatment is None:
                self.head, self._body = self.head.with_document(len(body)), body
            else:
                self.head, self._body = treatment.ask(self.head, body)

    def _renamed(self, body: bytearray) -> bytearray:
        """The document with the model's name as this target knows it."""
        name = self._owner.way.model_at(self._target)
        if name is None:
            return body
        renamed = bytearray(body)
        edit.set_value(renamed, ["model"], name, there=True)
        return renamed

    def send(self, connection: UpstreamConnection) -> None:
        """The head, and what is here of the body."""
        client, upload = self._owner.client, self._owner.upload
        asked = with_credentials(self.head, self._upstream, forward=self._owner.way.forwards_keys)
        head = forwarding.write_request(
            Outbound(), asked, self._upstream, client=client.address, scheme=client.scheme
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
