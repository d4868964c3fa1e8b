"""Recogniser: what a proxy before us did to one event stream and does not say.

Three things that LiteLLM does, measured on 1.83.10, 1.85.0 and 1.109.1, look legal and are not what a
client takes them for:

    faked-stream   the model was called without `stream` and its finished answer cut into pieces: nothing
                   came before all was there (ids that are not in LiteLLM's model map, o1-pro, requests
                   whose web searches LiteLLM does itself)
    cache-replay   the answer came out of LiteLLM's response cache
    lying-end      the model's server broke off or failed, and LiteLLM wrote the end itself: a finish
                   reason, a terminal event, a token count. A suspicion, because of which nothing is changed

It is given the headers of the response, the first of its body with the times of the reads, and at the end
what the dialect's checker has counted. It does not look at answers that are not known to be LiteLLM's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

from relay.dialects.checker import Checker
from relay.recognising_burst import SLICE, Burst, id_at_end
from relay.wire.framing import Data, Header

FAKED, REPLAY, LYING = "faked-stream", "cache-replay", "lying-end"

ADVICE = {
    FAKED: "list the model in LiteLLM's model_list by its own id instead of a wildcard, or let its streams "
    "pass LiteLLM by (--direct streams)",
    REPLAY: 'nothing is wrong; a request with {"cache": {"no-cache": true}} asks the model',
    LYING: "the answer may be cut where it ends: look into the model server's log; update LiteLLM, or let "
    "its streams pass LiteLLM by (--direct streams)",
}
"""What a person can do about each."""

SLICES = 8
"""So many pieces of just five characters, none of another size between them, in one burst, are no model's
tokens: one in six of English text has five, so one honest stream in a million begins like that."""
SLICES_OF_ALL = 4
"""The same where the end came with them."""
ONE_PIECE = 1000
"""Characters; a whole answer of that length in one piece was not streamed."""
A_SENTENCE = 32
"""Characters; no token is longer."""
SLICES_ELSEWHERE = 16
"""Pieces of one size, whatever it is, end included, all in one read of any other server (``checked``)."""
DELTAS_PER_TOKEN = 3
"""An honest count has a token for each delta, at least."""
START_COUNT = 8
"""Tokens; Anthropic's first event counts one to eight before there is an answer."""
MANY_DELTAS = 8
"""As many in one read, and no other read with any, are no stream."""
_SEVERAL = 2
_ALWAYS_DETAILED = ("://api.openai.com", "://us.api.openai.com", "://eu.api.openai.com")
"""Their usage has completion_tokens_details."""

_OWN_ID = re.compile("chatcmpl-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NEVER = 1 << 62
_APART = count().__next__
_NOT_LOOKED_AT = Burst()
_NOT_LOOKED_AT.close()


class Verdict(NamedTuple):
    """What was done, by its name in headers and metrics, and in words what shows it."""

    name: str
    evidence: str


class Recogniser:
    """One stream, from its head to its end.

    clock    when a read came, in seconds; where nobody sets it, each is long after the one before
    reads    reads that brought pieces of content, as far as they were counted
    settled  its frames need not be looked at any more
    """

    __slots__ = ("_deltas", "_end_after", "_headers", "_litellm", "burst", "clock", "reads", "settled")

    def __init__(self, headers: Sequence[Header] = ()) -> None:
        self._headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in headers
            if name.lower().startswith((b"x-litellm-", b"llm_provider-"))
        }
        self._litellm = any(name.startswith("x-litellm-") for name in self._headers)
        self.burst = Burst() if self._litellm else _NOT_LOOKED_AT
        self.clock: Callable[[], float] = _APART
        self.reads = self._deltas = 0
        self.settled = False
        self._end_after = -1
        """After so many deltas a chunk without any had an id of LiteLLM's own."""

    def show(self, data: Data, start: int, end: int) -> None:
        """``data[start:end]`` of the body, before it is mended."""
        if self.burst.open:
            self.burst.take(data, start, end, self.clock())

    def seen(self, checker: Checker) -> None:
        """The checker has seen what was shown."""
        if checker.deltas != self._deltas and self.reads < _SEVERAL:
            self._deltas = checker.deltas
            self.reads += 1
        self.settled = self.reads >= _SEVERAL and not self.burst.open

    def mind_id(self, checker: Checker, data: Data, start: int, end: int) -> None:
        """These whole frames have been checked: has the id of the chat changed with them?"""
        if self._litellm and self._end_after < 0 and "id-changed" in checker.flags:
            own = _OWN_ID.fullmatch(id_at_end(data, start, end)) is not None
            # One delta tells nothing: where chat is made from Responses, each chunk has an id of its own.
            self._end_after = checker.deltas if own and checker.deltas > 1 else _NEVER

    def stop(self) -> None:
        """Another server goes on with the answer: how it ends is not this one's doing."""
        self._litellm = False
        self.burst.close()

    def flags(self, checker: Checker) -> frozenset[str]:
        """Signs by themselves."""
        signs = {"one-read": self.reads == 1 and checker.deltas >= MANY_DELTAS, "slices": checker.sliced}
        return frozenset(sign for sign, there in signs.items() if there)

    def early(self, checker: Checker) -> Verdict | None:
        """As far as the bytes tell that have come."""
        if not self._litellm:
            return self._elsewhere(checker)
        if self._headers.get("x-litellm-cache-key"):
            return Verdict(REPLAY, f"the answer has x-litellm-cache-key ({self._proxy})")
        why = self._counted() or self._sliced() or self._in_one_piece()
        return Verdict(FAKED, f"{why} ({self._proxy}{self._waited})") if why else None

    def verdict(self, checker: Checker, end_code: str | None) -> Verdict | None:
        """All that is known, once it has ended with this code."""
        early = self.early(checker)
        if not self._litellm or end_code != "OK":
            return early
        why = self._id_at_the_end(checker) or self._nothing(checker) or self._block_open(checker)
        if not why and early is None:
            why = self._details(checker) or self._count_of_the_start(checker)
        return Verdict(LYING, f"{why} ({self._proxy})") if why else early

    def _elsewhere(self, checker: Checker) -> Verdict | None:
        if self.reads != 1 or not (checker.done and checker.sliced) or checker.deltas < SLICES_ELSEWHERE:
            return None
        return Verdict(FAKED, f"{checker.deltas} pieces of one size, and the end, in one read")

    @property
    def _proxy(self) -> str:
        version = self._headers.get("x-litellm-version", "")
        return f"LiteLLM {version[:20]}" if version[:1].isdigit() else "LiteLLM"

    @property
    def _waited(self) -> str:
        """LiteLLM's own word on how long it waited for the model before it sent the head."""
        try:
            waited = float(self._headers.get("x-litellm-response-duration-ms", ""))
        except ValueError:
            return ""
        return f", which had waited {waited:.0f} ms for it"

    # Streams that are none.

    def _counted(self) -> str:
        burst = self.burst
        if burst.counted > 0:
            return f"response.created already counts {burst.counted} tokens of the answer"
        return "response.completed came first and alone" if burst.only_end else ""

    def _sliced(self) -> str:
        burst = self.burst
        if burst.uneven or burst.slices < (SLICES_OF_ALL if burst.ended else SLICES):
            return ""
        took = (burst.last - burst.began) * 1000
        which = f"{burst.slices} of {burst.pieces} pieces have {SLICE} characters"
        return f"{which}, and all came within {took:.0f} ms"

    def _in_one_piece(self) -> str:
        burst = self.burst
        if not burst.ended or burst.pieces != len(burst.blocks):
            return ""
        if burst.counts_at_stop and burst.text >= A_SENTENCE:
            return f"{burst.text} characters, no block of them in pieces, and message_stop counts tokens"
        return f"{burst.longest} characters in one piece with the end" if burst.longest >= ONE_PIECE else ""

    # Ends that were made up.

    def _id_at_the_end(self, checker: Checker) -> str:
        """A swallowed error: LiteLLM's own finish chunk has an id of its own."""
        made_up = self._end_after == checker.deltas
        return f"the id changed after {checker.deltas} deltas, and only the end followed" if made_up else ""

    def _nothing(self, checker: Checker) -> str:
        """An error as the first event, swallowed."""
        burst = self.burst
        if checker.name != "chat" or checker.deltas or burst.pieces or burst.announced or not burst.ended:
            return ""
        return "nothing but finish_reason stop" if burst.finish == "stop" else ""

    def _block_open(self, checker: Checker) -> str:
        """A response.failed that became a stop reason."""
        if (
            checker.name != "messages"
            or "messages-block-stop-missing" not in checker.repairs
            or not checker.deltas
        ):
            return ""
        uncounted = checker.usage is None or not checker.usage.output
        return f"a stop reason, 0 tokens and an open block after {checker.deltas} deltas" if uncounted else ""

    def _details(self, checker: Checker) -> str:
        """LiteLLM's own count after a cut, where the provider's is known to say more."""
        base = self._headers.get("x-litellm-model-api-base", "")
        known = (
            any(host in base for host in _ALWAYS_DETAILED) or "llm_provider-openai-version" in self._headers
        )
        if checker.name == "messages" or not known or checker.usage is None or checker.usage.output is None:
            return ""
        return (
            "the count of tokens lacks the details that OpenAI's has"
            if checker.usage.reasoning is None
            else ""
        )

    def _count_of_the_start(self, checker: Checker) -> str:
        """Anthropic's count of the first event, because the last one never came; it has details."""
        usage = checker.usage
        if checker.name == "messages" or usage is None or usage.output is None or usage.reasoning is None:
            return ""
        few = 1 <= usage.output <= START_COUNT and checker.deltas >= DELTAS_PER_TOKEN * usage.output
        return (
            f"{checker.deltas} deltas and a count of {usage.output} tokens, that of a first event"
            if few
            else ""
        )
