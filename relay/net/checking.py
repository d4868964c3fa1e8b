"""What one completion asked for, and the checker of its answer.

Exists for requests whose answer may be a stream of deltas, unless repair is off.
"""

from __future__ import annotations

import time

from relay import dialects
from relay.completion import Completion, ask_usage
from relay.config import Repair
from relay.crosstalk import ToolIds
from relay.dialects.checker import Checker
from relay.mending import Mender
from relay.net.document import Document
from relay.net.relay import Client, Relay
from relay.wire.forwarding import ResponseForm, completion_dialect
from relay.wire.http1 import Inbound, RequestHead, ResponseHead


class Checking:
    """One completion, from its document to the end of its stream."""

    __slots__ = ("_checker", "_completion", "_id", "_relay", "_tools", "_usage_added", "document")

    def __init__(self, relay: Relay, head: RequestHead, dialect: str, exchange_id: str) -> None:
        self._relay = relay
        self._id = exchange_id
        self._completion = Completion(dialect)
        self._usage_added = False
        self._checker: Checker | None = None
        self._tools: ToolIds | None = None
        self.document = Document(head, relay.settings.limits.document, relay.loop)

    @classmethod
    def of(cls, relay: Relay, head: RequestHead, exchange_id: str) -> Checking | None:
        """None for a request whose answer is not looked at."""
        dialect = None if relay.settings.repair is Repair.OFF else completion_dialect(head)
        return None if dialect is None else cls(relay, head, dialect, exchange_id)

    async def read(self, head: RequestHead, client: Client, inbound: Inbound) -> RequestHead:
        """Wait for the document, see what it asks for, and return the head to send it under."""
        document = self.document
        if document.wants and head.expects_continue:
            client.outlet.write(inbound.informational(100, b"Continue", []))
        client.feed()
        await document.whole()
        completion = self._completion = Completion.read(self._completion.dialect, document.body)
        if self._relay.settings.ask_usage and completion.stream and not completion.usage_asked:
            self._usage_added = True
            document.body = ask_usage(document.body)
        return head.with_document(len(document.body))

    def form(self, request: RequestHead, head: ResponseHead) -> ResponseForm:
        """How the answer passes: as a stream where one was asked for, whatever its type says."""
        asked = self._completion.stream and self._relay.settings.repair is Repair.ON
        return ResponseForm.decide(request, head, stream_asked=asked)

    def mender(self) -> Mender:
        """The checker of the answer's frames."""
        context = self._completion.context(self._id, int(time.time()), usage_added=self._usage_added)
        checker = self._checker = dialects.BY_NAME[self._completion.dialect](context)
        self._tools = checker.tool_ids = ToolIds(self._relay.live_tools, checker.flags)
        return Mender(checker, report=self._relay.settings.repair is Repair.REPORT)

    def close(self) -> None:
        """The stream is over."""
        if self._tools is not None:
            self._tools.release()
        checker, self._checker = self._checker, None
        if checker is not None:
            checker.close()
