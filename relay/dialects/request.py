"""The neutral vocabulary of requests: a conversation and what is asked for.

Every dialect reads its documents into this and writes its documents from it, so N dialects are N
readers and N writers. A reader checks what it maps and refuses what cannot be kept; it notes what it
leaves out. A writer leaves out, or refuses, what its own dialect or its upstream's profile cannot hold.

``path`` is where a thing stood in the client's document (``messages[2].content[0]``), for errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

_DROPPED = 100

EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
"""Values of `reasoning_effort` but `none`, weakest first."""

Mode = Literal["auto", "any", "none", "tool"]


class BadRequest(Exception):
    """The client's request cannot be served: where, what is wrong and what to do, and a code for it.

    ``str(error)`` begins with the JSON path at fault. ``details`` is Anthropic's `error.details`.
    """

    def __init__(
        self,
        path: str,
        problem: str,
        *,
        code: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.code = code
        self.details = details


# Parts of a conversation.


@dataclass(slots=True)
class Text:
    text: str
    path: str = ""


@dataclass(slots=True)
class Image:
    """By ``url`` (http, https), or as ``data`` (base64) of ``media_type``; ``detail`` is OpenAI's."""

    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    detail: str | None = None
    path: str = ""


@dataclass(slots=True)
class File:
    """A document, as ``data`` (base64) of ``media_type``."""

    data: str
    media_type: str
    name: str | None = None
    path: str = ""


@dataclass(slots=True)
class Audio:
    """Sound in the user's turn, as ``data`` (base64); ``format`` is `wav` or `mp3`."""

    data: str
    format: str
    path: str = ""


@dataclass(slots=True)
class Reasoning:
    """What an assistant thought; ``signature`` proves it to its maker, ``sealed`` only its maker can read."""

    text: str = ""
    signature: str | None = None
    sealed: str | None = None
    path: str = ""


@dataclass(slots=True)
class Refusal:
    text: str
    path: str = ""


@dataclass(slots=True)
class Call:
    """A tool call of the assistant; ``arguments`` is JSON text, as the model wrote it.

    ``custom`` calls have free text as their input, which ``arguments`` holds as ``{"input": "…"}``.
    """

    id: str
    name: str
    arguments: str
    namespace: str | None = None
    custom: bool = False
    path: str = ""

    @property
    def flat(self) -> str:
        """Its tool's name for an upstream that knows no namespaces."""
        return flat_name(self.name, self.namespace)


@dataclass(slots=True)
class Result:
    """What a tool call gave; ``parts`` are texts, images and files."""

    id: str
    parts: list[Text | Image | File]
    error: bool = False
    path: str = ""


Part = Text | Image | File | Audio | Reasoning | Refusal | Call | Result


@dataclass(slots=True)
class Turn:
    """One message. Results stand in the turns of the user, before everything else of that turn.

    ``system`` turns are system prompts and developer messages, at the start or amid the conversation.
    """

    role: Literal["system", "user", "assistant"]
    parts: list[Part]
    path: str = ""


# What is asked for.


def unique(ident: str, taken: dict[str, int]) -> str:
    """This id, or one made of it where it is taken; ``taken`` has each with the next number to try."""
    name, number = ident, taken.get(ident, 2)
    if ident in taken:
        while (name := f"{ident}_{number}") in taken:
            number += 1
        taken[ident] = number + 1
    taken[name] = 2
    return name


def flat_name(name: str, namespace: str | None) -> str:
    return f"{namespace}__{name}" if namespace else name


@dataclass(slots=True)
class Tool:
    """A function the model may call; ``parameters`` is its JSON Schema, None for a ``custom`` one.

    A ``custom`` tool takes free text, ``syntax`` is OpenAI's `format` of it. Names are unique together with
    ``namespace``. ``strict`` None: the client did not say and its dialect's default is "no".
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    namespace: str | None = None
    custom: bool = False
    syntax: dict[str, Any] | None = None
    path: str = ""

    @property
    def flat(self) -> str:
        """Its name for an upstream that knows no namespaces."""
        return flat_name(self.name, self.namespace)

    @property
    def grammar(self) -> str | None:
        """In words, for an upstream that cannot enforce it; None where there is none."""
        if self.syntax is None or self.syntax.get("type") != "grammar":
            return None
        kind, definition = self.syntax.get("syntax"), self.syntax.get("definition")
        return f"The input must match this {kind} grammar:\n{definition}"

    @property
    def schema(self) -> dict[str, Any]:
        """Its parameters for an upstream that knows functions only."""
        if self.custom:
            return {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
        return self.parameters or {"type": "object", "properties": {}}


@dataclass(slots=True)
class ToolChoice:
    """``any``: some tool must be called; ``tool``: the one of this flat name."""

    mode: Mode
    name: str | None = None
    path: str = "tool_choice"


@dataclass(slots=True)
class Thinking:
    """How much reasoning is asked for.

    ``effort`` in OpenAI's words (none, minimal, low, medium, high, xhigh, max), ``budget`` in tokens,
    ``adaptive`` when the model shall decide. ``summary``: the Responses `reasoning.summary`.
    ``hidden``: the client does not want to be shown it. ``sealed``: it wants it in a form that it can
    give back (`include: reasoning.encrypted_content`).
    """

    effort: str | None = None
    budget: int | None = None
    adaptive: bool = False
    summary: str | None = None
    hidden: bool = False
    sealed: bool = False

    def level(self) -> str | None:
        """The effort, also for upstreams that know no budgets; None where the model shall decide."""
        if self.effort is not None or self.budget is None:
            return self.effort
        return "low" if self.budget < 4096 else "medium" if self.budget < 16384 else "high"


@dataclass(slots=True)
class Output:
    """Structured output: any JSON object, or one of a ``schema``."""

    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None
    description: str | None = None
    path: str = ""


@dataclass(slots=True)
class Extra:
    """A field that not every dialect knows, under its OpenAI name."""

    value: Any
    path: str


@dataclass(slots=True)
class Request:
    """One completion, asked for in dialect ``dialect``."""

    dialect: str
    model: str = ""
    stream: bool = False
    usage_asked: bool = False
    """The client wants token counts in its stream (always, outside chat)."""
    turns: list[Turn] = field(default_factory=list)
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel: bool | None = None
    """May several tools be called at once; None: the client did not say."""
    thinking: Thinking = field(default_factory=Thinking)
    output: Output | None = None
    user: str | None = None
    extras: dict[str, Extra] = field(default_factory=dict)
    """By OpenAI name: seed, logit_bias, frequency_penalty, presence_penalty, logprobs, top_logprobs,
    verbosity, service_tier, metadata, store, safety_identifier, prompt_cache_key, prompt_cache_retention,
    prediction, web_search_options, … A writer keeps those it knows and drops the others with a warning."""
    echo: dict[str, Any] = field(default_factory=dict)
    """Top-level fields that the client's answer repeats (Responses)."""
    shows_refusals: bool = True
    """The client shows refusal parts (Responses); codex shows nothing for them."""
    summarised: bool = False
    """What the upstream calls reasoning is a summary already (Messages); its writer says so."""
    dropped: list[str] = field(default_factory=list)
    """Paths of what is left out and could have changed the answer."""
    call_ids: dict[str, int] = field(default_factory=dict)
    """Of all calls in the conversation, and then of those in its answer; see ``unique``."""
    called: dict[str, Tool] = field(default_factory=dict)
    """Tools by the name that the upstream was given for them; the writer fills it in."""

    def drop(self, path: str, kind: str | None = None) -> None:
        """Note that this is left out (of this kind, where the path does not tell); of many the first."""
        if kind:
            path = f"{path}({kind})"
        if len(self.dropped) < _DROPPED and path not in self.dropped:
            self.dropped.append(path)

    def tool(self, name: str) -> Tool:
        """The client's tool for a name in the upstream's answer; a tool of that name if it has none."""
        return self.called.get(name) or Tool(name)


@dataclass(frozen=True, slots=True)
class Profile:
    """What one upstream can take and its dialect does not tell."""

    name: str = "generic"
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system_role: Literal["system", "developer"] = "system"
    merge_system: bool = True
    reasoning_field: Literal["reasoning_content", "reasoning"] | None = None
    template_thinking: bool = False
    """`chat_template_kwargs.enable_thinking` switches reasoning on and off."""
    efforts: tuple[str, ...] = EFFORTS
    """Values of `reasoning_effort` that it takes, weakest first; with `none` where it can be switched off."""
    top_k: bool = True
    openai_fields: bool = False
    """`verbosity`, `service_tier`, `prompt_cache_*`, `safety_identifier`, `metadata`, `store` are known."""
    files: bool = False
    images_in_results: bool = False
    tool_name_limit: int | None = None
    stop_limit: int | None = None
    tokenize: bool = False
    """vLLM's `/tokenize` counts a conversation."""
    continues_prefill: bool = False
    """vLLM's `continue_final_message` and `add_generation_prompt`."""
    continues: Literal["", "rendered", "appended"] = ""
    """Goes on with an answer that was cut, by the same two fields: as a message that its template renders and
    may change, thoughts included, which it shows on request; or with the text appended as it is."""
    default_max_tokens: int = 16384
    """For Messages upstreams, which demand a limit."""
    thinking_budgets: bool = False
    """A Messages upstream whose models take `thinking.budget_tokens` instead of `adaptive` and an effort."""

    def effort(self, asked: str) -> str | None:
        """The strongest known effort that is no stronger, or else the weakest; `none` is no weak effort."""
        if asked in self.efforts:
            return asked
        ranked = [effort for effort in EFFORTS if effort in self.efforts]
        if asked not in EFFORTS or not ranked:
            return None
        weaker = [effort for effort in ranked if EFFORTS.index(effort) <= EFFORTS.index(asked)]
        return weaker[-1] if weaker else ranked[0]
