"""What becomes of one completion whose upstream speaks the client's dialect: its answer is checked.

Exists for requests whose answer may be a stream of deltas, unless repair is off.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from relay import dialects
from relay.completion import Completion, ask_usage
from relay.config import Repair
from relay.crosstalk import ToolIds
from relay.dialects.checker import Checker
from relay.mending import Mender
from relay.net.document import Document
from relay.net.relay import Client, Relay
from relay.opening import Machine, open_response
from relay.wire.endpoints import completion_dialect
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import Header
from relay.wire.http1 import Inbound, RequestHead, ResponseHead


class Answered(NamedTuple):
    """The upstream's head as the client gets it, how its body passes, and through what."""

    head: ResponseHead
    form: ResponseForm
    machine: Machine


class Watch:
    """The checker of one live stream, and its tool calls beside those of all others."""

    __slots__ = ("_checker", "_tools")

    def __init__(self, relay: Relay, checker: Checker) -> None:
        self._checker: Checker | None = checker
        self._tools = checker.tool_ids = ToolIds(relay.live_tools, checker.flags)

    def close(self) -> None:
        """The stream is over."""
        self._tools.release()
        checker, self._checker = self._checker, None
        if checker is not None:
            checker.close()


class Checking:
    """One completion, from its document to the end of its stream."""

    __slots__ = ("_completion", "_id", "_relay", "_usage_added", "_watch", "document")

    headers: tuple[Header, ...] = ()

    def __init__(self, relay: Relay, head: RequestHead, dialect: str, exchange_id: str) -> None:
        self._relay = relay
        self._id = exchange_id
        self._completion = Completion(dialect)
        self._usage_added = False
        self._watch: Watch | None = None
        self.document = Document(head, relay.settings.limits.document, relay.loop)

    @classmethod
    def of(cls, relay: Relay, head: RequestHead, exchange_id: str) -> Checking | None:
        """None for a request whose answer is not looked at."""
        dialect = None if relay.settings.repair is Repair.OFF else completion_dialect(head)
        return None if dialect is None else cls(relay, head, dialect, exchange_id)

    async def read(self, head: RequestHead, client: Client, inbound: Inbound) -> RequestHead:
        """Wait for the document, see what it asks for, and return the head to send it under."""
        document = self.document
        await document.read(head, client, inbound)
        completion = self._completion = Completion.read(self._completion.dialect, document.body)
        if self._relay.settings.ask_usage and completion.stream and not completion.usage_asked:
            self._usage_added = True
            document.body = ask_usage(document.body)
        return head.with_document(len(document.body))

    def answered(self, request: RequestHead, head: ResponseHead) -> Answered:
        """The answer passes as a stream where one was asked for, whatever its type says."""
        settings = self._relay.settings
        asked = self._completion.stream and settings.repair is Repair.ON
        form = ResponseForm.decide(request, head, stream_asked=asked)
        mender = self._mender() if form.framed else None
        machine = open_response(form, head.body_decoder(), settings.limits.frame, mender)
        return Answered(head, form, machine)

    def _mender(self) -> Mender:
        """The checker of the answer's frames."""
        context = self._completion.context(self._id, int(time.time()), usage_added=self._usage_added)
        checker = dialects.BY_NAME[self._completion.dialect](context)
        self._watch = Watch(self._relay, checker)
        return Mender(checker, report=self._relay.settings.repair is Repair.REPORT)

    def close(self) -> None:
        """The stream is over."""
        if self._watch is not None:
            self._watch.close()
