"""What becomes of one completion whose upstream speaks the client's dialect: its answer is checked.

Exists for requests whose answer may be a stream of deltas, unless repair is off.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple

from relay import dialects
from relay.completion import Completion, ask_usage
from relay.config import Repair, Settings, Upstream
from relay.continuing import Transcript
from relay.crosstalk import ToolIds
from relay.dialects.checker import Checker
from relay.error_document import ErrorDocument
from relay.mending import Mender
from relay.net.relay import Relay
from relay.opening import Machine, open_converted, open_response
from relay.spend import open_metered
from relay.wire import translated
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import Buffer, Header
from relay.wire.http1 import RequestHead, ResponseHead


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


def transcript_of(settings: Settings, upstream: Upstream, body: Buffer) -> Transcript | None:
    """What the answer to this chat request has said, where another upstream may be asked to go on."""
    profile = dialects.PROFILES[upstream.profile]
    if settings.repair is not Repair.ON or not settings.continuation or not profile.continues:
        return None
    return Transcript(bytes(body), profile)


class Checking:
    """One completion, from its document to the end of its stream."""

    __slots__ = (
        "_completion",
        "_id",
        "_relay",
        "_settings",
        "_transcript",
        "_upstream",
        "_usage_added",
        "_watch",
    )

    headers: tuple[Header, ...] = ()
    spoken = ""
    """The upstream's dialect, where it is not the client's."""

    def __init__(
        self, relay: Relay, settings: Settings, upstream: Upstream, exchange_id: str, dialect: str
    ) -> None:
        self._relay = relay
        self._settings = settings
        self._upstream = upstream
        self._transcript: Transcript | None = None
        self._id = exchange_id
        self._completion = Completion(dialect)
        self._usage_added = False
        self._watch: Watch | None = None

    def ask(self, head: RequestHead, body: bytearray) -> tuple[RequestHead, Buffer]:
        """See what the document asks for; the request to send."""
        completion = self._completion = Completion.read(self._completion.dialect, body)
        if (self._settings.ask_usage or self._paid) and completion.stream and not completion.usage_asked:
            self._usage_added = True
            body = ask_usage(body)
        if completion.dialect == "chat" and completion.stream:
            self._transcript = transcript_of(self._settings, self._upstream, body)
        return head.with_document(len(body)), body

    def answered(self, request: RequestHead, head: ResponseHead) -> Answered:
        """The answer passes as a stream where one was asked for, whatever its type says."""
        settings = self._settings
        asked = self._completion.stream and settings.repair is Repair.ON
        if self._misshapen(request, head):
            return self._error(request, head)
        form = ResponseForm.decide(request, head, stream_asked=asked)
        mends = settings.repair is Repair.ON and request.method != b"HEAD"
        never_empty = mends and head.status == 200 and not form.framed
        machine = open_response(
            form,
            head.body_decoder(),
            settings.limits.frame,
            self._mender() if form.framed else None,
            look_ahead=settings.timeouts.look_ahead > 0,
            never_empty=never_empty,
            transcript=self._transcript,
            headers=head.headers,
        )
        if self._paid and head.status == 200 and not form.event_stream:
            dialect = self._completion.dialect
            machine = open_metered(
                chunked=form.chunked, decoder=head.body_decoder(), dialect=dialect, never_empty=never_empty
            )
        return Answered(head, replace(form, held=form.held or never_empty), machine)

    def _misshapen(self, request: RequestHead, head: ResponseHead) -> bool:
        """It may be an error of LiteLLM in OpenAI's shape."""
        settings, dialect = self._settings, self._completion.dialect
        mended = settings.litellm is not None and settings.repair is Repair.ON and dialect == "messages"
        return mended and head.status >= 400 and request.method != b"HEAD"

    def _error(self, request: RequestHead, head: ResponseHead) -> Answered:
        form = ResponseForm.collected(request, head)
        conversion, limit = ErrorDocument(dialects.CODECS["messages"]), self._settings.limits.frame
        machine = open_converted(form, head.body_decoder(), conversion, status=head.status, limit=limit)
        return Answered(translated.response_head(head, "messages", b"application/json"), form, machine)

    @property
    def model(self) -> str | None:
        """As it was asked for."""
        return self._completion.model

    @property
    def _paid(self) -> bool:
        """Somebody wants to hear what it costs."""
        return self._relay.spending is not None and bool(self._upstream.api_key)

    def _mender(self) -> Mender:
        """The checker of the answer's frames."""
        context = self._completion.context(self._id, int(time.time()), usage_added=self._usage_added)
        checker = dialects.BY_NAME[self._completion.dialect](context)
        self._watch = Watch(self._relay, checker)
        settings = self._settings
        report = settings.repair is Repair.REPORT
        return Mender(checker, report=report, hold_thinking=settings.hold_thinking)

    def close(self) -> None:
        """The stream is over."""
        if self._watch is not None:
            self._watch.close()
