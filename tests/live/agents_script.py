"""What the scripted model says to an agent, and what it remembers of the requests.

A request without tools is not one of the agent's turns (Claude Code asks for a title beside the
first one); it is answered with a few words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..scripted.scenarios import patch, run
from ..scripted.script import Answer, Conversation, Fault, Result, Think, Use, answer
from ..scripted.server import DIALECTS

PROOF = "echo relay-$((6*7)) > proof.txt; cat proof.txt"
SECOND = "echo second-$((7*7)) > second.txt; cat second.txt"
LAST = "cat proof.txt second.txt | tr '\\n' ' '"
SCRIPT = "text(await tools.exec_command({cmd: 'echo relay-$((6*7)) > proof.txt; cat proof.txt'}))"
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC"
"""A PNG of eight by eight red dots."""
BAD = "echo this command was never whole > bad.txt; cat bad.txt; echo and here it goes on"
THOUGHT = "First I look; then I count to forty-two."
PATCHED = "patched.txt"

IDS = {"chat": "functions.shell:{}", "messages": "toolu_agent_{}", "responses": "call_agent_{}"}
"""Tool call ids as servers of each dialect make them; that of chat is Kimi's own form."""

Turn = Callable[["Model", Conversation], "Answer | Fault"]


@dataclass
class Model:
    """A scenario with a memory; ``turn`` says what to answer to a request with tools."""

    turn: Turn
    answers: list[Answer | Fault] = field(default_factory=list)
    results: list[list[Result]] = field(default_factory=list)
    """What the tools gave, for each turn."""
    images: list[int] = field(default_factory=list)
    """Pictures in the whole conversation, for each turn."""
    others: int = 0

    def __call__(self, conversation: Conversation) -> Answer | Fault:
        if not conversation.tools:
            self.others += 1
            return answer('{"title": "A scripted session"}')
        self.results.append(list(conversation.results))
        self.images.append(conversation.images + sum(result.images for result in conversation.results))
        said = self.turn(self, conversation)
        if isinstance(said, Answer):
            said = identified(said, conversation)
        self.answers.append(said)
        return said

    @property
    def turns(self) -> int:
        return len(self.answers)

    @property
    def last_words(self) -> str:
        said = self.answers[-1] if self.answers else None
        return said.text if isinstance(said, Answer) else ""


def identified(said: Answer, conversation: Conversation) -> Answer:
    """The same answer, its calls with ids in the manner of the server that says them."""
    ids = iter(range(len(conversation.calls) + 1, 1000))
    form = IDS[conversation.dialect]
    parts = [replace(p, id=form.format(next(ids))) if isinstance(p, Use) else p for p in said.parts]
    return replace(said, parts=tuple(parts))


def use(conversation: Conversation, command: str) -> Use:
    found = run(conversation.tools, command)
    assert found is not None
    return found


def quote(conversation: Conversation) -> Answer:
    """The last word: what the tools said, so that it is found again in what the CLI prints."""
    said = " | ".join(result.text.strip() for result in conversation.results)
    return answer(Think("That is all."), f"The tools said: {said}. Thank you, all is done now.")


def work(model: Model, conversation: Conversation) -> Answer:
    """Two commands at once, their arguments interleaved where the dialect can; one more; the last word."""
    match len(conversation.calls):
        case 0:
            calls = [use(conversation, PROOF), use(conversation, SECOND)]
            return answer(
                Think(THOUGHT), "Let me see. ", *calls, interleave=conversation.dialect != "messages"
            )
        case 2:
            return answer(Think("Once more."), use(conversation, LAST))
        case _:
            return quote(conversation)


def edit(model: Model, conversation: Conversation) -> Answer:
    """A freeform call that adds a file, then a command that reads it."""
    match len(conversation.calls):
        case 0:
            found = patch(conversation.tools, PATCHED)
            return answer(Think(THOUGHT), found) if found else answer("There is no tool that edits.")
        case 1:
            return answer(Think("Once more."), use(conversation, f"cat {PATCHED}"))
        case _:
            return quote(conversation)


def grouped(model: Model, conversation: Conversation) -> Answer:
    """A call of a tool that the request declares in a namespace."""
    found = [name for name in conversation.tools if name.endswith("close_agent")]
    if conversation.calls or not found:
        return quote(conversation)
    return answer(Think(THOUGHT), Use(found[0], {"target": "agent-that-is-not"}))


def look(model: Model, conversation: Conversation) -> Answer:
    """A command makes a picture, and the CLI's own tool shows it to the model."""
    match len(conversation.calls):
        case 0:
            return answer(Think(THOUGHT), use(conversation, f"echo {DOT} | base64 -d > dot.png; pwd"))
        case 1:
            place = conversation.results[-1].text.strip().splitlines()[-1]
            name, argument = ("Read", "file_path") if "Read" in conversation.tools else ("view_image", "path")
            return answer(Think("Once more."), Use(name, {argument: f"{place}/dot.png"}))
        case _:
            return answer("I have seen the picture.")


def in_code(model: Model, conversation: Conversation) -> Answer:
    """A command inside a script, which is how Codex lets newer models call tools."""
    found = [name for name in conversation.tools if name.endswith("exec")]
    if conversation.calls or not found:
        return quote(conversation)
    return answer(Think(THOUGHT), Use(found[0], {"input": SCRIPT}))


def cut_first(model: Model, conversation: Conversation) -> Answer:
    """The first answer breaks off in its first text; asked again, the model works."""
    return always_cut(model, conversation) if model.turns == 0 else work(model, conversation)


def cut_call(model: Model, conversation: Conversation) -> Answer:
    """The first answer breaks off inside the arguments of a call, after blocks that were whole."""
    if model.turns == 0:
        return broken(answer(Think(THOUGHT), "Let me see. ", use(conversation, BAD)), conversation)
    return work(model, conversation)


def cut_text(model: Model, conversation: Conversation) -> Answer:
    """The work is done, and the last word breaks off once."""
    said = work(model, conversation)
    if said.uses or any(isinstance(one, Answer) and one.cut for one in model.answers):
        return said
    if conversation.dialect == "responses" and "exec_command" in conversation.tools:
        # Codex sends a thought that was whole again, with nothing after it, which OpenAI refuses.
        said = answer(said.text)
    return broken(said, conversation)


def error_frame(model: Model, conversation: Conversation) -> Answer:
    """The first answer ends with an error inside the stream."""
    if model.turns:
        return work(model, conversation)
    fault = Fault(503, "The engine has died.")
    return answer("This text breaks off before it has come to its end.", fail=(4, fault))


def limit(model: Model, conversation: Conversation) -> Answer:
    """The limit of tokens is reached inside the arguments of a call."""
    if model.turns:
        return quote(conversation)
    whole = use(conversation, BAD)
    return answer(Think(THOUGHT), "Let me see. ", replace(whole, raw=whole.arguments[:-25]), length=True)


def always_cut(model: Model, conversation: Conversation) -> Answer:
    return broken(answer("This text breaks off before it has come to its end."), conversation)


def broken(said: Answer, conversation: Conversation) -> Answer:
    """The answer, reset two frames before its last block is whole."""
    said = identified(said, conversation)
    dialect = DIALECTS[conversation.dialect].Dialect()
    frames = list(dialect.frames(said, conversation.body, "0" * 24, 0))
    last = max(index for index, frame in enumerate(frames) if _is_delta(frame))
    return replace(said, cut=last - 1)


def _is_delta(frame: bytes) -> bool:
    """A frame that carries a piece of a text or of arguments, in any dialect."""
    if b"message_delta" in frame:
        return False
    return any(mark in frame for mark in (b'"finish_reason": null', b"_delta", b".delta"))


def overloaded(model: Model, conversation: Conversation) -> Answer | Fault:
    """Busy at first."""
    if model.turns == 0:
        status = 529 if conversation.dialect == "messages" else 503
        return Fault(status, "The server is overloaded, please try again.", retry_after="1")
    return work(model, conversation)


def too_long(model: Model, conversation: Conversation) -> Fault:
    """The prompt does not fit, in the words of each kind of server."""
    if conversation.dialect == "messages":
        return Fault(400, "prompt is too long: 250000 tokens > 200000 maximum")
    words = "This model's maximum context length is 32768 tokens, your messages resulted in 40000 tokens."
    return Fault(400, words, type="invalid_request_error", code="context_length_exceeded", param="messages")
