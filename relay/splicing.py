"""Frames of a second chat stream, made to go on where the first one was cut.

To the client it is one answer: the names of the first, one role, every character once, and counts of
tokens as if one server had said it all. Whether the second server has really taken up the text is seen in
its first frames, before anything of them leaves; where it has not, it is refused.

White space at the end of the text is why it must be seen. Many chat templates trim messages, and the model
then says the white space again, or not; others keep it, and white space that comes next is new. So a server
whose template renders the text is asked to show the prompt that it made of it (vLLM 42052), and what the
template took is dropped when it comes again.
"""

from __future__ import annotations

from typing import Any

from relay.continuing import Transcript, joined
from relay.dialects.checker import Malformed
from relay.dialects.frame import Frame

_TAIL = 200
"""Characters of the text that are looked for at the end of the prompt; its beginning may be trimmed."""
_PROMPT = ("prompt_text", "prompt_token_ids")
_CHOICE = ("choices", 0)
_DELTA = (*_CHOICE, "delta")


class Refused(Malformed):
    """What this upstream says is no continuation."""


class Splice:
    """What follows one cut; ``transcript`` is what was said up to there."""

    __slots__ = (
        *("_again", "_pieces", "_seen", "_shown", "_thoughtful", "_told", "_transcript"),
        *("begun", "characters", "name"),
    )

    def __init__(self, transcript: Transcript, name: str) -> None:
        self._transcript = transcript
        self._told = transcript.usage
        self._again = ""
        """White space that was said already, and may come again."""
        self._seen = False
        """The first chunk has come."""
        self._shown = transcript.verbatim
        """The text is known to be what the upstream goes on from."""
        self.begun = False
        """Something of it has left."""
        self.name = name
        self.characters = len(joined(transcript.text) or "")
        self._pieces, self._thoughtful = transcript.pieces, transcript.thoughtful

    def bend(self, frame: Frame) -> bool:
        """Note on the frame what must change; False: leave it out. Raises Refused."""
        payload = frame.payload
        if payload is None:
            return True
        choices = payload.get("choices")
        if not choices:
            self._name(frame, payload)
            return self._count(frame, payload)
        if not isinstance(choices, list) or len(choices) > 1 or not isinstance(choices[0], dict):
            raise Refused(f"{self._refused} has several choices")
        choice = choices[0]
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = {}
        if not self._seen:
            self._seen = True
            self._look(payload)
        if not self.begun and (delta.get("reasoning") or delta.get("reasoning_content")):
            raise Refused(f"{self._refused} begins with thoughts")
        said = self._say(frame, delta)
        finish = choice.get("finish_reason")
        if not said and not finish and not self.begun:
            return False
        if not self.begun and not said and not self._shown:
            raise Refused(f"{self._refused} is empty")
        self._name(frame, payload)
        self._count(frame, payload)
        if not self.begun:
            self.begun = True
            frame.set(("x_relay",), {"continued_on": self.name, "after_characters": self.characters})
        return True

    @property
    def mark(self) -> bytes:
        """The comment before it: a line alone, for an empty one can end an event (openai-python 2722)."""
        name = self.name.encode("ascii", "replace").decode()
        return f": relay continued on {name} after {self.characters} characters\n".encode()

    @property
    def _refused(self) -> str:
        return f"the continuation by {self.name}"

    # The text.

    def _look(self, payload: dict[str, Any]) -> None:
        """What has become of the text in the prompt."""
        if self._transcript.verbatim:
            return
        content = self._transcript.content
        if "prompt_text" not in payload:  # before vLLM 42052
            if content[-1:].isspace():
                raise Refused(f"{self._refused} does not show what became of the white space before it")
            return
        prompt = payload["prompt_text"]
        again = taken(content, prompt) if isinstance(prompt, str) else None
        if again is None:
            raise Refused(f"{self._refused} does not go on from the text")
        self._again = again
        self._shown = True

    def _say(self, frame: Frame, delta: dict[str, Any]) -> bool:
        """Whether there is more in it than a role, once the white space that was said already is gone."""
        if "role" in delta:
            frame.remove((*_DELTA, "role"))
        content = delta.get("content")
        if self._again and isinstance(content, str) and content:
            same = common(self._again, content)
            if same:
                frame.set((*_DELTA, "content"), content[same:])
            self._again = self._again[same:] if same == len(content) else ""
        return any(delta.values())

    # The names and the counts.

    def _name(self, frame: Frame, payload: dict[str, Any]) -> None:
        for key, value in self._transcript.identity.items():
            if key in payload and payload[key] != value:
                frame.set((key,), value)
        for key in _PROMPT:
            if key in payload:
                frame.remove((key,))

    def _count(self, frame: Frame, payload: dict[str, Any]) -> bool:
        """The counts of both as if of one; False for a frame that has none.

        The prompt of the second holds the text that the first has generated: each token counts once. Where
        the first has told nothing, its pieces count as tokens, and as many are taken off the second's prompt.
        """
        usage = payload.get("usage")
        if not isinstance(usage, dict):
            return False
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if type(prompt) is not int or type(completion) is not int:
            return True
        told = self._told or {}
        before, spent = told.get("prompt_tokens"), told.get("completion_tokens")
        if type(before) is not int or type(spent) is not int:
            before, spent = max(prompt - self._pieces, 0), self._pieces
        counts = {"prompt_tokens": before, "completion_tokens": spent + completion}
        for key, number in (counts | {"total_tokens": before + spent + completion}).items():
            frame.set(("usage", key), number)
        self._detail(frame, usage, told, before)
        return True

    def _detail(self, frame: Frame, usage: dict[str, Any], told: dict[str, Any], prompt: int) -> None:
        """All thoughts are the first's (vLLM counts the text for some); no more is cached than there is."""
        details = usage.get("completion_tokens_details")
        if isinstance(details, dict) and type(details.get("reasoning_tokens")) is int:
            thoughts = (told.get("completion_tokens_details") or {}).get("reasoning_tokens")
            known = thoughts if type(thoughts) is int else self._thoughtful
            frame.set(("usage", "completion_tokens_details", "reasoning_tokens"), known)
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        if type(cached) is int and cached > prompt:
            frame.set(("usage", "prompt_tokens_details", "cached_tokens"), prompt)


def taken(text: str, prompt: str) -> str | None:
    """The white space that the text ends with and the prompt does not; None where more is missing."""
    said, shown = text.rstrip(), prompt.rstrip()
    if not shown.endswith(said.lstrip()[-_TAIL:]):
        return None
    white, kept = text[len(said) :], prompt[len(shown) :]
    return white[len(kept) :] if white.startswith(kept) else None


def common(one: str, other: str) -> int:
    """How many characters both begin with."""
    at = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine != theirs:
            break
        at += 1
    return at
