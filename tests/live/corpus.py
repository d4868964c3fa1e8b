"""The recorded streams: where they lie, and what was recorded beside each."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
VERSIONS = ("1.83.10", "1.85.0", "1.109.1")
DIALECTS = {"chat/completions": "chat", "responses": "responses", "messages": "messages"}
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
FOLDERS = {"chat-completions": "chat", "responses": "responses", "messages": "messages"}

_WORDS = re.compile(r"\[\[.*?\bn=(\d+)\b")


@dataclass(frozen=True)
class Capture:
    """One recorded answer, with all that the replay needs to give it again."""

    group: str
    """The LiteLLM version, or the kind of a handwritten stream."""
    name: str
    path: str
    body_file: Path
    status: int = 200
    content_type: str = "text/event-stream; charset=utf-8"
    has_length: bool = False
    end: str = "complete"
    label: str = ""
    scenario: str = ""
    words: int = 0
    """How many deltas the request asked the fake upstream for."""
    model: str = "m"

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name}"

    @property
    def dialect(self) -> str:
        return next(dialect for suffix, dialect in DIALECTS.items() if self.path.endswith(suffix))

    @cached_property
    def body(self) -> bytes:
        return self.body_file.read_bytes()


def litellm(folder: Path, versions: tuple[str, ...] = VERSIONS) -> list[Capture]:
    """The captures under ``folder/<version>``, in the order of their names."""
    return [_litellm(path) for version in versions for path in sorted((folder / version).glob("*.json"))]


def _litellm(path: Path) -> Capture:
    record = json.loads(path.read_bytes())
    headers = {name.lower(): value for name, value in record["headers"]}
    words = _WORDS.search(json.dumps(record["request"]["body"]))
    return Capture(
        group=record["version"],
        name=path.stem,
        path=record["request"]["path"],
        body_file=path.with_suffix(".sse"),
        status=record["status"],
        content_type=headers["content-type"],
        has_length="content-length" in headers,
        end=record["end"],
        label=record["upstream"],
        scenario=record["scenario"],
        words=int(words[1]) if words else 0,
        model=record["request"]["body"]["model"],
    )


@dataclass(frozen=True)
class Handwritten:
    """A handwritten stream and the files that show it repaired, where there are any."""

    stream: Capture
    repaired: tuple[Capture, ...]


def handwritten(folder: Path) -> list[Handwritten]:
    """All streams that are no repair themselves."""
    found: dict[tuple[str, str], Capture] = {}
    repairs: dict[tuple[str, str], list[Capture]] = {}
    for line in (folder / "results.jsonl").read_bytes().splitlines():
        record = json.loads(line)
        sub, name = record["dialect"], Path(record["file"]).stem
        capture = Capture(record["kind"], f"{sub}/{name}", PATHS[FOLDERS[sub]], folder / sub / f"{name}.sse")
        if record["kind"] == "repaired":
            repairs.setdefault((sub, record["description"].split(":")[0]), []).append(capture)
        elif record["kind"] != "rejected-repair":
            found[sub, name] = capture
    assert not set(repairs) - set(found), set(repairs) - set(found)
    return [Handwritten(capture, tuple(repairs.get(key, ()))) for key, capture in found.items()]
