"""Scenarios by name, for programs: each finds a tool among those that the request declares.

A request without a usable tool (a title, a summary, a probe) is answered with a short text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .script import Answer, Conversation, Declared, Document, Scenario, Think, Use, answer

SHELLS = ("Bash", "exec_command", "shell_command", "shell", "container.exec", "bash", "run_command")
COMMANDS = ("command", "cmd", "script")


def run(tools: dict[str, Declared], command: str) -> Use | None:
    """A call of the shell that is declared, in the form that its schema asks for."""
    for shell in SHELLS:
        for name, tool in tools.items():
            if name == shell or name.endswith(f"__{shell}"):
                return Use(name, _arguments(tool.schema, command))
    return None


def _arguments(schema: Document, command: str) -> Document:
    properties: Document = schema.get("properties", {})
    required = schema.get("required", [])
    arguments: Document = {}
    for name in [*(n for n in COMMANDS if n in properties), *required]:
        if name in arguments:
            continue
        if name in COMMANDS:
            array = "array" in _types(properties[name])
            arguments[name] = ["bash", "-lc", command] if array else command
        else:
            arguments[name] = _sample(properties.get(name, {}))
    if "description" in properties:
        arguments["description"] = "Run the command of the script"
    return arguments


def _types(schema: Document) -> list[str]:
    kind = schema.get("type", [])
    kinds = [kind] if isinstance(kind, str) else list(kind)
    return kinds + [t for option in schema.get("anyOf", []) for t in _types(option)]


def _sample(schema: Document) -> Any:
    """Something that a schema takes."""
    if "enum" in schema:
        return schema["enum"][0]
    kinds = _types(schema)
    samples = {"string": "x", "integer": 1, "number": 1, "boolean": False, "array": [], "object": {}}
    return next((samples[kind] for kind in kinds if kind in samples), None)


def patch(tools: dict[str, Declared], path: str) -> Use | None:
    """A call of the freeform tool that edits files; through a chat upstream it has a property ``input``."""
    text = f"*** Begin Patch\n*** Add File: {path}\n+patched by the script\n*** End Patch\n"
    for name, tool in tools.items():
        if name.endswith("apply_patch"):
            properties = list(tool.schema.get("properties", {})) or ["input"]
            return Use(name, {properties[0]: text})
    return None


def quote(conversation: Conversation) -> Answer:
    """The last word: what the tools said, so that it can be found again at the client."""
    said = "; ".join(f"{result.text.strip()!r}" for result in conversation.results)
    return answer(Think("The tools have answered."), f"The tools said: {said}. All done.")


def text(command: str, file: str) -> Scenario:
    return lambda conversation: answer(Think("This is easy."), f"You said {conversation.prompt[:80]!r}.")


def shell(command: str, file: str) -> Scenario:
    """Reasoning, text and one command; then what it said."""
    return _calling(lambda conversation: [run(conversation.tools, command)])


def parallel(command: str, file: str) -> Scenario:
    """Two commands at once, whose arguments interleave where the dialect can say it."""

    def calls(conversation: Conversation) -> list[Use | None]:
        return [run(conversation.tools, command), run(conversation.tools, f"{command}; echo second")]

    return _calling(calls, interleave=True)


def rounds(command: str, file: str) -> Scenario:
    """Three commands, one after another."""
    return _calling(lambda c: [run(c.tools, f"{command}; echo round {c.rounds + 1}")], rounds=3)


def apply_patch(command: str, file: str) -> Scenario:
    """A freeform tool call that adds a file."""
    return _calling(lambda conversation: [patch(conversation.tools, file)])


def patch_and_shell(command: str, file: str) -> Scenario:
    """First the patch, then a command."""

    def calls(conversation: Conversation) -> list[Use | None]:
        first = conversation.rounds == 0
        return [patch(conversation.tools, file) if first else run(conversation.tools, command)]

    return _calling(calls, rounds=2)


def _calling(
    calls: Callable[[Conversation], list[Use | None]], *, rounds: int = 1, interleave: bool = False
) -> Scenario:
    def scenario(conversation: Conversation) -> Answer:
        if conversation.results and conversation.rounds >= rounds:
            return quote(conversation)
        uses = [use for use in calls(conversation) if use is not None]
        if not uses:
            return answer("There is no tool for this.")
        return answer(Think("I have to look."), "Let me see. ", *uses, interleave=interleave)

    return scenario


SCENARIOS: dict[str, Callable[[str, str], Scenario]] = {
    "text": text,
    "shell": shell,
    "parallel": parallel,
    "rounds": rounds,
    "patch": apply_patch,
    "patch-and-shell": patch_and_shell,
}
