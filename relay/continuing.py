"""What a chat stream has said so far, and the request that asks another server for the rest of it.

vLLM and SGLang go on with an open answer when the last message is the assistant's and the request says
``continue_final_message: true, add_generation_prompt: false``. So a stream that was cut in its text can be
continued by another replica: it is given all that was said, and asked for what follows. That holds for
plain text only. What a grammar, a tool call or a second choice had begun, no prompt can take up again; then
there is an obstacle, and the stream ends as it always did.
"""

from __future__ import annotations

import json
from typing import Any

from relay.dialects.request import Profile
from relay.wire import edit

LIMIT = 1024 * 1024
"""Bytes of text and thoughts that are remembered for one stream; one that says more cannot be continued."""
_IDENTITY = ("id", "created", "model", "system_fingerprint")
_ANEW = {
    **dict.fromkeys(("structured_outputs", "guided_json", "guided_regex", "guided_choice"), "a grammar"),
    **dict.fromkeys(("guided_grammar", "structural_tag", "regex", "ebnf", "json_schema"), "a grammar"),
    **dict.fromkeys(("logprobs", "top_logprobs", "prompt_logprobs"), "probabilities"),
    **dict.fromkeys(("return_token_ids", "return_hidden_states", "return_routed_experts"), "tokens"),
    **dict.fromkeys(("input_ids", "prompt_token_ids", "kv_transfer_params"), "a prompt of tokens"),
    **dict.fromkeys(("use_beam_search", "best_of"), "several tries"),
    **dict.fromkeys(("audio", "echo"), "more than text"),
}
"""Fields that ask for what would begin anew, be told twice or be left out in the middle of an answer."""
_LIMITS = ("max_tokens", "max_completion_tokens")


class Transcript:
    """One answer, frame by frame as it leaves; ``body`` is the request, as the upstream got it.

    text      what was said, the thoughts before it in ``thoughts``; both as the bytes of UTF-8
    identity  the members of a chunk that name the answer, with their first values
    usage     the `usage` object told last
    pieces    how many pieces came, each of one token or more; ``thoughtful`` of them were thoughts
    """

    __slots__ = (
        *("_asked", "_bar", "_body", "_profile"),
        *("identity", "pieces", "text", "thoughtful", "thoughts", "usage"),
    )

    def __init__(self, body: bytes | bytearray, profile: Profile) -> None:
        self._body = body
        self._profile = profile
        self._asked: dict[str, Any] | None = None
        self._bar = "" if profile.continues else f"a {profile.name} upstream cannot continue an answer"
        self.text = bytearray()
        self.thoughts = bytearray()
        self.identity: dict[str, Any] = {}
        self.usage: dict[str, Any] | None = None
        self.pieces = 0
        self.thoughtful = 0

    # What leaves.

    def take(self, payload: dict[str, Any] | None) -> None:
        """A frame that leaves; None for ``[DONE]``."""
        if payload is None:
            return
        identity = self.identity
        for key in _IDENTITY:
            if key not in identity and (value := payload.get(key)):
                identity[key] = value
        usage = payload.get("usage")
        if isinstance(usage, dict):
            self.usage = usage
        choices = payload.get("choices")
        if not choices or self._bar:
            return
        if len(choices) > 1 or choices[0].get("index"):
            self._forget("it has several choices")
        else:
            self._take(choices[0])

    def _take(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            content, thought = delta.get("content"), delta.get("reasoning") or delta.get("reasoning_content")
            if thought:
                self.thoughtful += 1
                if self.text:
                    self._forget("it thought between texts")
                self._say(thought, self.thoughts)
            if content:
                self._say(content, self.text)
            if delta.get("tool_calls") or delta.get("function_call"):
                self._forget("it has a tool call")
            elif delta.get("refusal") or delta.get("audio"):
                self._forget("it holds more than text")
        if choice.get("finish_reason"):
            self._forget("it had ended")

    def _say(self, said: object, into: bytearray) -> None:
        self.pieces += 1
        if not isinstance(said, str):
            self._forget("its text is no text")
        elif not self._bar:
            into += said.encode("utf-8", "surrogatepass")
            if len(self.text) + len(self.thoughts) > LIMIT:
                self._forget(f"it is longer than {LIMIT} bytes")

    def _forget(self, bar: str) -> None:
        self._bar = self._bar or bar
        self.text, self.thoughts = bytearray(), bytearray()

    # What may be asked.

    @property
    def obstacle(self) -> str:
        """Why it cannot be continued; empty when it can."""
        self._bar = self._bar or self._unasked() or self._left_to_say()
        return self._bar or self._unsaid()

    def _unsaid(self) -> str:
        """What may change with the next frame."""
        text = joined(self.text)
        if text is None or text.endswith("\ufffd"):
            return "it was cut inside a character"
        return "" if text.strip() else "it had not said anything"

    def _left_to_say(self) -> str:
        limits = [value for key in _LIMITS if type(value := self._request.get(key)) is int]
        return "its limit of tokens is reached" if limits and min(limits) <= self.spent else ""

    def _unasked(self) -> str:
        """What stands against it in the request."""
        asked = self._request
        messages = asked.get("messages")
        if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
            return "its request has no messages"
        found = [what for key, what in _ANEW.items() if asked.get(key)]
        format_, choice, number = asked.get("response_format"), asked.get("tool_choice"), asked.get("n")
        if found or (format_ and (not isinstance(format_, dict) or format_.get("type") != "text")):
            return f"its request asks for {found[0] if found else 'a grammar'}"
        if choice not in (None, "auto", "none"):
            return "its request demands a tool call"
        if number not in (None, 1):
            return "it has several choices"
        return self._open_prompt(messages[-1])

    def _open_prompt(self, last: dict[str, Any]) -> str:
        """What stands against it in the last message and in what the request says of it."""
        asked = self._request
        open_ = asked.get("continue_final_message") is True
        if not open_ and asked.get("add_generation_prompt") is False:
            return "its request asks for no answer"
        if (last.get("role") == "assistant") is not open_:
            return "its request ends with an answer"
        if open_ and (not isinstance(last.get("content"), str) or last.get("tool_calls") or self.thoughts):
            return "its request ends with an answer that is more than text"
        if not self.fits(self._profile):
            return "it has thoughts, which the upstream cannot be given back"
        return ""

    def fits(self, profile: Profile) -> bool:
        """An upstream of this kind can be asked."""
        return profile.continues == "rendered" or (profile.continues == "appended" and not self.thoughts)

    @property
    def _request(self) -> dict[str, Any]:
        if self._asked is None:
            try:
                document = json.loads(self._body)  # numbers of any size
            except (ValueError, RecursionError):
                document = None
            self._asked = document if isinstance(document, dict) else {}
        return self._asked

    # What is asked.

    @property
    def spent(self) -> int:
        """Tokens of the answer: as many as were told, or at least as there were pieces."""
        told = (self.usage or {}).get("completion_tokens")
        return max(told if type(told) is int else 0, self.pieces)

    @property
    def verbatim(self) -> bool:
        """The upstream appends the text to the prompt as it is; else a template may have changed it."""
        return self._profile.continues == "appended"

    @property
    def content(self) -> str:
        """The text to go on from: all that was said, after what the request had begun it with."""
        last = self._request["messages"][-1]
        begun = last["content"] if last.get("role") == "assistant" else ""
        return str(begun) + (joined(self.text) or "")

    def request(self, profile: Profile | None = None) -> bytearray:
        """The document that asks an upstream of this kind for the rest, by default one of the same kind.

        Only without an obstacle. Members of the request that are not named here keep their bytes.
        """
        self._profile = profile or self._profile
        asked, body = self._request, bytearray(self._body)
        messages: list[dict[str, Any]] = asked["messages"]
        if messages[-1].get("role") == "assistant":
            messages = [*messages[:-1], messages[-1] | {"content": self.content}]
        else:
            said = {"role": "assistant", "content": self.content}
            if self.thoughts:
                said[self._profile.reasoning_field or "reasoning_content"] = joined(self.thoughts) or ""
            messages = [*messages, said]
        edit.set_value(body, ["messages"], messages)
        edit.set_value(body, ["continue_final_message"], True)
        edit.set_value(body, ["add_generation_prompt"], False)
        if not self.verbatim:
            edit.set_value(body, ["return_prompt_text"], True)
        for key in _LIMITS:
            if type(limit := asked.get(key)) is int:
                edit.set_value(body, [key], limit - self.spent)
        if type(least := asked.get("min_tokens")) is int:
            edit.set_value(body, ["min_tokens"], max(least - self.spent, 0))
        return body


def joined(text: bytearray) -> str | None:
    """The text whose halves of characters came in several pieces; None where one is still missing."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        halves = text.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")
    try:
        return halves.decode("utf-16-le")
    except UnicodeDecodeError:
        return None
