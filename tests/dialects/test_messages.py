"""The Messages checker and every handwritten stream of its dialect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relay.dialects.checker import Malformed
from relay.dialects.messages import Messages
from tests.dialects.drive import CONTEXT, Event, events, seen
from tests.dialects.messages_kit import CORPUS, files, run, same_ids
from tests.dialects.messages_legal import verdict

FOLDER = "handwritten/messages"

UNREADABLE = {
    "bad-json.sse": "no JSON: the stream above fails it before a checker sees it",
    "raw-newline.sse": "no JSON: the same",
    "json-error-body.sse": "no event stream: an HTTP error before a checker is asked",
}
UNCHANGED = {
    "stop-reason-null.sse": "no reason was given: any would be invented, and clients live with none",
    "tool-bad-json.sse": "two objects as one input: which of them was meant cannot be known",
}
"""Malformed, not mended, and left alone."""
MENDED_TOO = {
    "delta-multi.sse": {"messages-delta-late": 1},
    "done-appended.sse": {"messages-done-sentinel": 1},
    "message-start-no-content.sse": {"messages-start-incomplete": 1},
    "tool-input-missing.sse": {"messages-tool-input": 1},
    "tool-no-block-stop.sse": {"messages-block-stop-missing": 1},
}
"""Malformed, mended, with no mend in the corpus to compare with."""
BYTES_ONLY = {"bom.sse", "cr.sse", "event-only.sse", "no-final-blank.sse", "no-final-newline.sse"}
"""What is wrong with these is in their bytes, which a checker never sees."""


def read(path: Path) -> list[Event]:
    return events(path.read_bytes())


def twin(path: Path) -> Path:
    return path.with_name(f"repaired-{path.name}")


def kinds() -> dict[str, str]:
    """The kind of each file, as the index of the corpus gives it."""
    text = (CORPUS / "handwritten/index.md").read_text()
    rows = text.partition("\n## messages\n")[2].partition("\n## ")[0].splitlines()
    cells = [row.split("|") for row in rows if row.startswith("| ") and not row.startswith("| file")]
    return {f"{cell[1].strip()}.sse": cell[2].strip() for cell in cells}


ORIGINALS = [
    param
    for param in files(f"{FOLDER}/*.sse")
    if param.values[0] is None
    or not (param.values[0].name.startswith("repaired-") or param.values[0].name in UNREADABLE)
]
every_file = pytest.mark.parametrize("path", ORIGINALS)


def expectation(path: Path) -> str:
    """The one class of a file: what the checker shall do with it."""
    if path.name in UNREADABLE:
        return "unreadable"
    if path.name == "json-body.sse":
        return "document"
    if twin(path).exists():
        return "as bytes" if path.name in BYTES_ONLY else "mended"
    if path.name in MENDED_TOO:
        return "mended too"
    return "unchanged"


def test_every_file_has_a_class_and_every_class_its_files() -> None:
    if not CORPUS.exists():
        pytest.skip("the corpus is not here")
    names = {path.name for path in (CORPUS / FOLDER).glob("*.sse")}
    index = kinds()
    assert names == set(index)
    originals = {name for name in names if not name.startswith("repaired-")}
    assert originals >= set(UNREADABLE) | set(UNCHANGED) | set(MENDED_TOO) | BYTES_ONLY
    for name in originals:
        path = CORPUS / FOLDER / name
        left_alone = expectation(path) == "unchanged"
        assert not (name in UNCHANGED and not left_alone)
        if index[name] == "malformed" and left_alone:
            assert name in UNCHANGED, f"{name} is malformed and nothing is said of it"
        if index[name].startswith("valid") and name not in BYTES_ONLY:
            assert left_alone, f"{name} is valid and is not left alone"


@every_file
def test_each_file_becomes_what_it_should(path: Path) -> None:
    stream, what = read(path), expectation(path)
    ran = run(stream)
    if what in ("mended", "as bytes"):
        assert same_ids(ran.out) == read(twin(path))
        assert what == "mended" or not ran.checker.repairs
        assert ran.checker.repairs or ran.how != "ok" or what == "as bytes"
    elif what == "mended too":
        assert ran.checker.repairs == MENDED_TOO[path.name]
        assert verdict(ran.out) == "complete"
    elif what == "unchanged":
        assert ran.out == stream
        assert ran.checker.repairs == {}
    if what != "document" and path.name not in UNCHANGED:
        assert verdict(ran.out) in ("complete", "failed")


@every_file
def test_what_left_passes_again_unchanged(path: Path) -> None:
    ran = run(read(path))
    again = run(ran.out)
    assert again.out == ran.out
    assert again.checker.repairs == {}
    assert again.how == "ok"


@pytest.mark.parametrize("path", files(f"{FOLDER}/json-body.sse"))
def test_a_document_becomes_a_stream(path: Path) -> None:
    frames = Messages.stream_of(json.loads(path.read_bytes()), CONTEXT)
    assert seen(frames) == read(twin(path))


@pytest.mark.parametrize("path", files("recorded/messages/pairs/*.json"))
def test_a_recorded_document_becomes_a_legal_stream(path: Path) -> None:
    pair = json.loads(path.read_bytes())
    document = pair["response"]
    if pair["status"] != 200:
        with pytest.raises(Malformed):
            Messages.stream_of(document, CONTEXT)
        return
    stream = seen(Messages.stream_of(document, CONTEXT))
    ran = run(stream)
    assert ran.out == stream
    assert ran.checker.repairs == {}
    assert verdict(ran.out) == "complete"
    assert put_together(stream) == document["content"]


def put_together(stream: list[Event]) -> list[object]:
    """The content blocks as a client accumulates them."""
    blocks: list[dict[str, object]] = []
    for _, payload in stream:
        if payload["type"] == "content_block_start":
            blocks.append(dict(payload["content_block"]))
            arguments = ""
        elif payload["type"] == "content_block_delta":
            block, delta = blocks[-1], payload["delta"]
            if delta["type"] == "citations_delta":
                block["citations"] = [*block["citations"], delta["citation"]]  # type: ignore[misc]
            elif delta["type"] == "input_json_delta":
                arguments += delta["partial_json"]
                block["input"] = json.loads(arguments)
            else:
                key = delta["type"].removesuffix("_delta")
                block[key] = str(block[key]) + delta[key]
    return list(blocks)
