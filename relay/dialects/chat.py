"""OpenAI Chat Completions: chunks with choices, then the sentinel ``[DONE]``.

A choice is legal when its first delta has the role, its tool calls have a header and dense indexes,
and a finish reason ends it; the stream, when every choice has one and ``[DONE]`` follows. Choices
interleave and finish one by one, so each has a grammar of its own. They count from 0 in the order in
which they appear: without the request's `n` nobody can tell a lonely choice 1 from the first of
several, and samples are exchangeable, so the same renumbering serves both at once.

Left alone, because every client takes it: content after the finish reason, a second finish reason, a
role on every chunk, ids that change, usage on any chunk, ``tool_calls: []`` beside content,
``finish_reason: ""`` and any reason there is, `error` and `abort` included: they are the server's own
words, a plain reader sees them, and some wait for them (training frameworks go on after `abort`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from relay.dialects import chat_choice, chat_tools, failures
from relay.dialects.chat_choice import SILENT, Choice
from relay.dialects.chat_content import json_text
from relay.dialects.chat_document import CHUNK, chunk, envelope, error_document, frames_of
from relay.dialects.chat_usage import read_usage
from relay.dialects.checker import Checker, Malformed, Truncated
from relay.dialects.deltas import Context, Failure, Kind
from relay.dialects.frame import Frame
from relay.dialects.grammar import Grammar


class Chat(Checker):
    name = "chat"
    serial = False
    rules: ClassVar[Mapping[str, str]] = {
        "chat-choices-missing": "absent or null choices become an empty list",
        "chat-choice-index": "choices are numbered from 0 in the order in which they appear",
        "chat-object-missing": "a chunk without `object`, which openai-python's helper skips, gets one",
        **chat_choice.RULES,
        **chat_tools.RULES,
        "chat-finish-missing": "[DONE] without a finish reason: the finish chunk is supplied",
        "chat-done-missing": "a body that ends after the finish reason: [DONE] is supplied",
        "chat-ping": "another dialect's ping is silenced",
        "chat-error-form": "an error in another form becomes an error object (TGIS, fms 436)",
        "chat-error-in-chunk": "an error inside a chunk (OpenRouter), which the AI SDK misses, stands alone",
        "chat-error-empty": "an error member that says nothing is taken out, two SDKs raise on it",
        "chat-after-end": "what follows the end is silenced",
    }
    off_by_default = frozenset({"chat-reasoning-details"})

    __slots__ = ("_choices", "_envelope", "_ident", "_second", "_sentinel_passes")

    def __init__(self, context: Context, *, off: frozenset[str] | None = None) -> None:
        super().__init__(context, off=off)
        self._choices: dict[int | str, Choice] = {}
        """By the upstream's index."""
        self._ident: str | None = None
        self._second: str | None = None
        """The id of an answer that began when the first one was over."""
        self._envelope: dict[str, Any] | None = None
        self._sentinel_passes = False
        """The upstream's error frame was legal as it came, and so is [DONE] behind it."""

    def continues(self, event: str | None, payload: dict[str, Any]) -> str | None:
        # 0.4 µs on recorded streams (orjson 0.6 µs).
        try:
            (choice,) = payload["choices"]
            index, delta = choice["index"], choice["delta"]
            state = self._choices[index]
            if (
                state.steady
                and (pieces := state.pieces(delta)) >= 0
                and type(index) is int
                and choice.get("finish_reason") in (None, "")
                and payload.get("object") == CHUNK
                and "error" not in payload
                and not self.done
            ):
                if payload.get("id") != self._ident:
                    self._identify(payload)
                if payload.get("usage") is not None:
                    self._count(payload)
                text = delta.get("content") or "" if pieces == 1 else ""
                if pieces:
                    self.deltas += pieces
                    self.measure(len(text))
                return text
        except (AttributeError, KeyError, TypeError, ValueError):
            pass  # not the usual chunk
        return None

    def check(self, frame: Frame) -> list[Frame] | None:
        payload = frame.payload
        if payload is None or self.done:
            return self._late(frame) if self.done else self._sentinel(frame)
        if self.continues(frame.event, payload) is not None:
            return None
        return self._chunk(frame, payload)

    def _chunk(self, frame: Frame, payload: dict[str, Any]) -> list[Frame] | None:
        """A frame that is more than the next piece of what is open, or is no chunk at all."""
        choices = payload.get("choices")
        if payload.get("error") or not choices:
            failure = _failure(payload, frame.event)
            if failure is not None:
                return self._error(frame, payload, failure)
            if not payload.get("usage") and "ping" in (payload.get("type"), frame.event):
                return self._silenced(frame, "chat-ping")
        self.started = True
        if "error" in payload and self.mends("chat-error-empty"):
            frame.remove(("error",))
        self._count(payload)
        if not choices and self.context.usage_added and isinstance(payload.get("usage"), dict):
            return []  # the chunk that relay asked for and its client did not
        choices = self._listed(frame, choices)
        self._object(frame, payload, choices)
        if choices:
            return self._said(frame, payload, choices)
        return [frame] if frame.changed else None

    def _said(
        self, frame: Frame, payload: dict[str, Any], choices: list[dict[str, Any]]
    ) -> list[Frame] | None:
        states = [self._state(frame, at, alone=len(choices) == 1) for at in range(len(choices))]
        begins_again = self.announced and any(
            state.finished
            and isinstance(delta := choice.get("delta"), dict)
            and delta.get("role") == "assistant"
            for state, choice in zip(states, choices, strict=True)
        )
        self._identify(payload, begins_again=begins_again)
        self._envelope = self._envelope or envelope(payload, self.context)
        pieces = [state.mend(self, frame, ("choices", at), choices[at]) for at, state in enumerate(states)]
        self.announced = all(state.finished for state in self._choices.values())
        if pieces == [SILENT] and payload.get("usage") is None:
            return []
        said = sum(number for number in pieces if number != SILENT)
        self.deltas += said
        if said and self._second is not None and payload.get("id") == self._second:
            raise Malformed("a second answer in the same stream")
        return [frame] if frame.changed else None

    def _listed(self, frame: Frame, choices: object) -> list[Any]:
        if choices and not isinstance(choices, list):
            raise Malformed("choices is not a list")
        listed = choices if isinstance(choices, list) else None
        if listed is None or None in listed:
            kept = [choice for choice in listed or [] if choice is not None]
            if not self.mends("chat-choices-missing"):
                return []
            frame.set(("choices",), kept)
            listed = kept
        if not all(isinstance(choice, dict) for choice in listed):
            raise Malformed("a choice is not an object")
        return listed

    def _object(self, frame: Frame, payload: dict[str, Any], choices: list[dict[str, Any]]) -> None:
        """Other values than none stay (Perplexity tells its last chunk by it), but a whole answer's."""
        named = payload.get("object")
        if not named or not isinstance(named, str):
            # Azure's filter chunks have an empty one, and nothing in them is missed.
            if (choices or payload.get("usage")) and self.mends("chat-object-missing"):
                frame.set(("object",), CHUNK)
            return
        whole = any("message" in choice and not isinstance(choice.get("delta"), dict) for choice in choices)
        if whole and named != CHUNK and "chat-message" not in self.off:
            frame.set(("object",), CHUNK)  # counted with its choice

    def _state(self, frame: Frame, at: int, *, alone: bool) -> Choice:
        """The state of the choice there; a new one if it is its first."""
        assert frame.payload is not None
        index = frame.payload["choices"][at].get("index")
        key = index if type(index) in (int, str) else None
        if key is None:
            if not alone or len(self._choices) > 1:
                raise Malformed("one of several choices has no index")
            key = next(iter(self._choices), 0)
        state = self._choices.get(key)
        if state is None:
            grammar = Grammar(serial=self.serial) if self._choices else self.grammar
            details = "chat-reasoning-details" not in self.off
            state = self._choices[key] = Choice(key, len(self._choices), grammar, details=details)
        if (type(index) is not int or index != state.index) and self.mends("chat-choice-index"):
            frame.set(("choices", at, "index"), state.index)
        return state

    def _identify(self, payload: dict[str, Any], *, begins_again: bool = False) -> None:
        """Some servers change the id with every chunk; where they do not, a new one is another answer's."""
        ident = payload.get("id")
        if not ident or not isinstance(ident, str) or ident == self._ident:
            return
        if self._ident is None:
            self._ident = ident
        elif "id-changed" not in self.flags:
            self.flags.add("id-changed")
            if begins_again:
                self._second = ident

    def _count(self, payload: dict[str, Any]) -> None:
        """Totals, wherever they are."""
        self.usage = read_usage(payload, self.usage) or self.usage

    def _error(self, frame: Frame, payload: dict[str, Any], failure: Failure) -> list[Frame] | None:
        self.failure = failure
        self._close(Kind.FAIL)
        error = payload.get("error")
        legal = isinstance(error, dict) and isinstance(error.get("message"), str)
        if legal and _only_fails(payload) and self.mends("chat-error-in-chunk"):
            frame.remove(("choices",))
            return [frame]
        if legal or not self.mends("chat-error-form"):
            self._sentinel_passes = True
            return None
        source = error if isinstance(error, dict) else payload
        code = source.get("code")
        document = {
            "message": failure.message,
            "type": failures.openai_type(failure),
            "param": source.get("param"),
            "code": code if isinstance(code, int | str) else None,
        }
        return [Frame(None, {"error": document})]

    def _sentinel(self, frame: Frame) -> list[Frame] | None:
        if not self._choices:
            raise Malformed("the stream held no choice" if self.started else "the stream held no chunk")
        if self._waiting:
            raise Malformed("a tool call without a name")
        finishes = []
        for state in self._choices.values():
            if not state.admit(Kind.END):
                if state.grammar.implied(Kind.END) is not Kind.FINISH:
                    raise Malformed("[DONE] came before a choice had begun")
                assert self._envelope is not None
                if self.mends("chat-finish-missing"):
                    finishes.append(chunk(self._envelope, state.index, {}, state.reason))
                state.admit(Kind.FINISH)
        self._complete()
        return [*finishes, frame] if finishes else None

    @property
    def _waiting(self) -> bool:
        return any(state.tools.waiting for state in self._choices.values())

    def _late(self, frame: Frame) -> list[Frame] | None:
        if frame.payload is None and self._sentinel_passes:
            self._sentinel_passes = False
            return None
        return self._silenced(frame, "chat-after-end")

    def _silenced(self, frame: Frame, rule: str) -> list[Frame] | None:
        if not self.mends(rule):
            return None
        frame.silence()
        return [frame]

    def end(self, *, cut: bool = False) -> list[Frame]:
        if self.done:
            return []
        if not self.announced:
            raise Truncated("a finish reason" if self.started else "the first chunk")
        if self._waiting:
            raise Truncated("the name of a tool call")
        self._complete()
        return [Frame(None, None)] if self.mends("chat-done-missing") else []

    def _complete(self) -> None:
        if self.context.usage_asked and self.usage is None:
            self.flags.add("usage-missing")
        self.announced = True
        self._close(Kind.END)

    def _close(self, kind: Kind) -> None:
        self.done = True
        for state in self._choices.values():
            state.admit(kind)

    def fail(self, failure: Failure) -> list[Frame]:
        if self.done:
            return []
        self._close(Kind.FAIL)
        return [Frame(None, self.error_document(failure))]

    def keep_alive(self) -> None:
        """A comment line: any JSON without choices breaks openai-node's helper."""

    @classmethod
    def error_document(cls, failure: Failure) -> dict[str, Any]:
        return error_document(failure)

    @classmethod
    def stream_of(cls, document: dict[str, Any], context: Context) -> list[Frame]:
        """Documents have the faults of streams, so their frames go the same way."""
        checker, frames = cls(context), []
        for frame in frames_of(document, context):
            answer = checker.check(frame)
            frames += [frame] if answer is None else answer
        return [Frame(frame.event, frame.payload) for frame in frames]


def _failure(payload: dict[str, Any], event: str | None) -> Failure | None:
    """SDKs raise whenever there is something under `error`, whatever it is."""
    failure = failures.read(payload, event=event)
    if failure is None and payload.get("error"):
        return Failure(f"the upstream reported an error: {json_text(payload['error'])}")
    return failure


def _only_fails(payload: dict[str, Any]) -> bool:
    """Whether a chunk with an error in it has choices, and none of them says anything."""
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        return False
    deltas = [choice.get("delta") if isinstance(choice, dict) else None for choice in choices]
    return not any(
        value for delta in deltas if isinstance(delta, dict) for key, value in delta.items() if key != "role"
    )
