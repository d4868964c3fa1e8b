"""Real SDKs judge translated streams: every whole one of the corpus, read by clients of the other dialects.

    python -m tests.live.judge_translated [--python-only | --node-only] [--client messages] [--upstream chat]

A replay server gives each recorded or handwritten stream in its own dialect, ``relay serve
--upstream-dialect`` stands before it, and 17 clients ask in theirs. What each made of the answer is held
against a reading of the source's bytes that knows neither relay nor an SDK. The exit status is 1 when one
got something else, 2 when the corpus or the clients are not there.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cache

from tests import told_chat, told_messages, told_responses
from tests.translation_sources import Source, of_kind

from .corpus import CORPUS, PATHS, Capture
from .judge import AT_ONCE, python_outcomes
from .nodes import missing, node_outcomes
from .outcome import Outcome, brief
from .reading import Content
from .replay import Replay

READERS = {"chat": told_chat.stream, "messages": told_messages.stream, "responses": told_responses.stream}
EXPLAINED = ("LengthFinishReasonError", "ContentFilterFinishReasonError")
"""What openai's Python helper raises by design."""


@dataclass(frozen=True)
class Asked:
    source: Source
    client: str

    @property
    def capture(self) -> Capture:
        group = f"{self.client}<{self.source.dialect}"
        return Capture(group, self.source.name, PATHS[self.client], self.source.path)


def squeezed(text: str) -> str:
    """Without blanks: dialects part pieces of reasoning in ways of their own."""
    return "".join(text.split())


def fault(asked: Asked, got: Outcome) -> str:
    """What is wrong with this client's answer; empty when nothing is."""
    if got.by_design or got.error.split(":")[0] in EXPLAINED:
        return ""
    if got.raised or got.told:
        return f"raised {got.error or got.told}"
    want, refusal = said(asked.source)
    if got.text not in (want.text, want.text + refusal):
        return f"text {brief(got.text)}, not {brief(want.text)}"
    # Each client shows the arguments of a cut call in a way of its own, or not at all.
    whole = [all(not arguments.startswith('"') for _, arguments in one.tools) for one in (want, got)]
    if got.tools != want.tools and all(whole):
        return f"tools {brief(got.tools)}, not {brief(want.tools)}"
    shows = got.judge.startswith("py ") and got.reasoning
    if shows and squeezed(got.reasoning) != squeezed(want.reasoning):
        return f"reasoning {brief(got.reasoning)}, not {brief(want.reasoning)}"
    return ""


@cache
def said(source: Source) -> tuple[Content, str]:
    """What the stream says, and its refusal, which has no place of its own in Messages."""
    tale = READERS[source.dialect](source.events)
    calls = [(name or "", arguments) for _, name, arguments in tale.calls]
    return Content.of(tale.text("text"), calls, tale.text("reasoning")), tale.text("refusal")


async def judge(arguments: argparse.Namespace) -> list[tuple[Asked, Outcome, str]]:
    from ..net.process import serving

    judged: list[tuple[Asked, Outcome, str]] = []
    for upstream in [arguments.upstream] if arguments.upstream else list(PATHS):
        clients = [name for name in PATHS if name != upstream and arguments.client in (None, name)]
        whole = [source for source in of_kind("whole") if source.dialect == upstream]
        asked = {(one := Asked(source, client)).capture.key: one for source in whole for client in clients}
        captures = [one.capture for one in asked.values()]
        async with (
            Replay(captures).serve() as replay,
            serving(replay.url, "--upstream-dialect", upstream) as relay,
        ):
            origins = {"after": f"http://127.0.0.1:{relay.port}"}
            found = [] if arguments.node_only else await python_outcomes(captures, origins)
            if not arguments.python_only:
                found += await node_outcomes(captures, origins, AT_ONCE)
        judged += [(asked[got.key], got, fault(asked[got.key], got)) for got in found]
    return judged


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.live.judge_translated")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--python-only", action="store_true")
    only.add_argument("--node-only", action="store_true")
    parser.add_argument("--client", choices=tuple(PATHS))
    parser.add_argument("--upstream", choices=tuple(PATHS))
    arguments = parser.parse_args(argv)
    if not CORPUS.is_dir():
        print(f"there is no corpus at {CORPUS}", file=sys.stderr)
        return 2
    if not arguments.python_only and (lacking := missing()):
        print(f"no Node judges ({lacking}); --python-only goes without", file=sys.stderr)
        return 2
    warnings.filterwarnings("ignore", module="pydantic")
    begun = time.monotonic()
    judged = asyncio.run(judge(arguments))
    asked, failed = Counter[str](), Counter[str]()
    for one, got, wrong in judged:
        row = f"{one.capture.group:20} {got.judge}"
        asked[row] += 1
        failed[row] += bool(wrong)
    for row, number in sorted(asked.items()):
        print(f"{row:52} {number:5} streams  {failed[row]:4} wrong")
    faults = sorted({(one.capture.key, wrong, got.judge) for one, got, wrong in judged if wrong})
    for key, wrong, name in faults:
        print(f"{key}  [{name}]  {wrong}")
    print(f"\n{len(judged)} answers, {len(faults)} wrong; {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
