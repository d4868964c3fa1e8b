"""What must have come of a case, by what the model did in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..scripted.script import Answer, Usage
from .agents_run import PROMPT, Run
from .agents_script import PATCHED, THOUGHT


def well(run: Run) -> None:
    """The CLI ended content, with the model's last words as its answer."""
    last = run.told.error or run.said.stderr.strip()[-200:]
    run.expect(run.said.status == 0, f"exit status {run.said.status}: {last}")
    run.expect(not run.told.error, f"said that it failed: {run.told.error}")
    run.expect(
        run.told.text == run.model.last_words, f"final text {run.told.text!r}, not {run.model.last_words!r}"
    )
    run.expect(run.said.file("bad.txt") is None, "the command of a cut answer was run")


def worked(run: Run) -> None:
    """All three commands were run once, on this machine, and the model was told what they gave."""
    well(run)
    if run.failures:
        return
    for name, content in (("proof.txt", "relay-42\n"), ("second.txt", "second-49\n")):
        run.expect(run.said.file(name) == content, f"{name} holds {run.said.file(name)!r}")
    run.expect("relay-42 second-49" in run.told.text, f"the result is not in the answer: {run.told.text!r}")
    run.expect(len(run.told.outputs) == 3, f"{len(run.told.outputs)} commands were run, not 3")
    _ids_came_back(run)
    _thoughts(run)


def _usage(run: Run) -> None:
    """The counts that the CLI adds up are those of the model's answers."""
    each, turns, usage = Usage(), run.model.turns, run.told.usage
    if run.case.agent == "claude":
        wanted = {
            "input_tokens": each.input - each.cached,
            "cache_read_input_tokens": each.cached,
            "output_tokens": each.output,
        }
    else:
        wanted = {
            "input_tokens": each.input,
            "cached_input_tokens": each.cached,
            "output_tokens": each.output,
            "reasoning_output_tokens": each.reasoning,
        }
    for name, count in wanted.items():
        run.expect(usage.get(name) == turns * count, f"{name}: {usage.get(name)}, not {turns} times {count}")


def _ids_came_back(run: Run) -> None:
    """Each result went to the call that it belongs to, under the upstream's own id."""
    for said, results in zip(run.model.answers, run.model.results[1:], strict=False):
        if isinstance(said, Answer) and said.cut is None and results:
            ids = [result.id for result in results]
            run.expect(ids == [use.id for use in said.uses], f"results for {ids}")
    firsts = [result.text for results in run.model.results for result in results if results[0] is result]
    run.expect(firsts and "relay-42" in firsts[0], f"the first result is {firsts[:1]}")


def _thoughts(run: Run) -> None:
    """The user is shown what the model thought, once."""
    run.expect(run.told.thoughts[:1] == [THOUGHT], f"thoughts {run.told.thoughts}")


def whole_tools(run: Run) -> None:
    """Every tool that the CLI declares reaches the model, but those that only a provider can run."""
    worked(run)
    if run.failures:
        return
    names = {name for body in run.bodies for name in _names(body)}
    wanted = {"claude": {"Bash", "Read", "Edit", "WebFetch"}, "codex": {"exec_command", "view_image"}}
    run.expect(wanted[run.case.agent] <= names, f"tools {sorted(names)}")
    first = json.dumps(run.bodies[0])
    run.expect(first.count(PROMPT) == 1, "the prompt is not there once")
    if run.case.translated:
        run.expect(
            "billing-header" not in first, "a line that changes with every request would spoil the cache"
        )
    _usage(run)


def _names(body: dict[str, Any]) -> Iterator[str]:
    for tool in body["tools"]:
        yield (tool.get("function") or tool).get("name", tool.get("type"))


def thoughts_went_back(run: Run) -> None:
    """What the model thought before its calls is in the history that it is asked to go on with."""
    whole_tools(run)
    messages = run.bodies[-1]["messages"] if run.bodies else []
    thoughts = [message.get("reasoning") for message in messages if message["role"] == "assistant"]
    run.expect(thoughts == [THOUGHT, "Once more."], f"thoughts in the history: {thoughts}")


def looked(run: Run) -> None:
    """The picture that the CLI read came to the model as a picture, once."""
    well(run)
    run.expect(run.model.images[-1:] == [1], f"images in the turns: {run.model.images}")


def edited(run: Run) -> None:
    """The freeform call was run as the patch that it is."""
    well(run)
    content = run.said.file(PATCHED)
    run.expect(content == "patched by the script\n", f"{PATCHED} holds {content!r}")
    run.expect("patched by the script" in run.told.text, f"final text {run.told.text!r}")


def in_its_group(run: Run) -> None:
    """The CLI found the tool that was meant: it answers about the agent, not about the call."""
    well(run)
    run.expect("unsupported call" not in run.told.text, f"the call was not understood: {run.told.text!r}")
    run.expect("agent" in run.told.text, f"final text {run.told.text!r}")


def scripted(run: Run) -> None:
    """The freeform call was run as the script that it is."""
    well(run)
    run.expect(run.said.file("proof.txt") == "relay-42\n", f"proof.txt holds {run.said.file('proof.txt')!r}")
    run.expect("relay-42" in run.told.text, f"final text {run.told.text!r}")


def not_run(run: Run) -> None:
    """The half of a call is not run, and somebody hears of it: the user, or else the model."""
    run.expect(run.said.file("bad.txt") is None, "the half of a command was run")
    words = {"claude": "could not be parsed as JSON", "codex": "max_output_tokens"}[run.case.agent]
    heard = run.told.error + "".join(run.told.outputs)
    run.expect(words in heard, f"error {run.told.error!r}, results {run.told.outputs}")


def gave_up(run: Run) -> None:
    """The cut answer is not taken for a whole one: the CLI says so and fails."""
    run.expect(run.said.status not in (0, None), f"exit status {run.said.status}")
    run.expect(run.told.error, "said nothing of a failure")
    run.expect(run.said.file("bad.txt") is None, "the command of a cut answer was run")


def gave_up_at_last(run: Run) -> None:
    gave_up(run)
    run.expect(run.model.turns > 1, "did not try again")


def out_of_room(run: Run) -> None:
    """The CLI understands that the prompt is too long, and does not try again."""
    run.expect(run.said.status not in (0, None), f"exit status {run.said.status}")
    words = {"claude": "Prompt is too long", "codex": "context window"}[run.case.agent]
    run.expect(words in run.told.error, f"said {run.told.error!r}")
