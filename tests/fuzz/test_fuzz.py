"""A short run of the fuzzer in every run of the tests, and proof that it would find something.

Half of the inputs are the same in every run. The other half are new each time: a failure names the seed.
"""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import run as runs
from tests.fuzz.__main__ import TARGETS
from tests.fuzz.case import Case
from tests.fuzz.reader import BoundaryWatch, ChunkReader, Illegal, framing_of, request_head

INPUTS = {"heads": 4500, "chunked": 2000, "streams": 1250, "translated": 750, "documents": 1500}
"""Of each half; 20,000 in all."""
ENDS = {
    "heads": {"request taken", "request refused", "request unfinished", "response taken", "response refused"},
    "chunked": {"complete", "broken", "unfinished"},
    "streams": {f"{dialect} {end}" for dialect in ("chat", "messages", "responses") for end in ("OK", "UP")},
    "translated": {f"{pair} OK" for pair in ("chat<messages", "messages<responses", "responses<chat")},
    "documents": {"request sent", "request refused", "answer converted", "answer refused", "usage asked"},
}
"""Some of the ends that inputs must come to: rubbish that is refused at once finds nothing."""
FIXED = 1
every_target = pytest.mark.parametrize("name", TARGETS)


def told(tally: runs.Tally) -> str:
    return "\n\n".join(map(str, tally.found))


@every_target
def test_nothing_breaks(name: str) -> None:
    tally = runs.run(TARGETS[name], FIXED, range(INPUTS[name]))
    assert not tally.found, told(tally)
    assert {f"{name}: {end}" for end in ENDS[name]} <= tally.ends.keys()
    assert tally.ends.total() == INPUTS[name]


@every_target
def test_nothing_breaks_that_was_never_tried(name: str) -> None:
    tally = runs.run(TARGETS[name], secrets.randbelow(1_000_000), range(INPUTS[name]))
    assert not tally.found, told(tally)


# --- it can find something --------------------------------------------------------------------------

LF_WILL_DO = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?\r?\n")
FAULTS: dict[str, tuple[str, str, Any]] = {
    "a length beside chunked": ("heads", "relay.wire.http1._framing", lambda *_: (None, False)),
    "hop-by-hop fields": ("heads", "relay.wire.forwarding._HOP_BY_HOP", frozenset()),
    "a size line with LF alone": ("chunked", "relay.wire.framing._CHUNK_LINE", LF_WILL_DO),
    "extensions without end": ("chunked", "relay.wire.framing.MAX_EXTENSIONS", 1 << 30),
    "a cut stream with no error": ("streams", "relay.mending.Mender.fail", lambda *_: []),
    "a frame taken for whole": ("streams", "relay.checked._HALF_A_LINE_END", b"\n"),
    "a failure untold": ("translated", "relay.translating.Translator.fail", lambda *_: []),
    "a text that is none": ("translated", "relay.likeness._PLAIN", re.compile(rb"[ -~]+")),
    "another error": ("documents", "relay.translation.refusal", lambda *_: KeyError("refused")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, place, value = FAULTS[fault]
    monkeypatch.setattr(place, value)
    blocks = (range(start, start + 50) for start in range(0, 1000, 50))
    assert any(runs.run(TARGETS[name], FIXED, block).found for block in blocks)


def test_an_input_that_takes_for_ever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        name = "endless"

        def draw(self, dice: Any) -> Case:
            return Case(b"")

        def check(self, case: Case) -> str:
            while True:
                pass

    monkeypatch.setattr(runs, "PATIENCE", 0.01)
    (found,) = runs.run(Endless(), FIXED, range(1)).found
    assert "no answer within" in found.what


# --- a finding can be had again ---------------------------------------------------------------------


@every_target
def test_an_input_is_drawn_by_its_seed_and_its_index_alone(name: str) -> None:
    target = TARGETS[name]
    assert runs.draw(target, 7, 3) == runs.draw(target, 7, 3)
    assert len({runs.draw(target, 7, index).raw for index in range(50)}) > 40


def test_a_finding_is_written_and_read(tmp_path: Path) -> None:
    case = Case(b"\x00\xff", (3, 1), ("a", "b"))
    found = runs.Found("heads", 7, 3, case, "AssertionError: '\\ud83d' 12", "here", "trace")
    path = found.write(tmp_path)
    assert path.name == "heads-7-3.bin"
    assert runs.read(path) == ("heads", case)
    assert "--only heads --seed 7 --at 3" in str(found)
    assert json.loads(path.with_suffix(".json").read_text())["trace"] == ["trace"]


def test_findings_of_one_kind_are_counted_and_a_few_are_kept() -> None:
    tally = runs.Tally()
    for index in range(9):
        tally.note(
            runs.Found("heads", 7, index, Case(b""), f"AssertionError: {index} bytes of 'x{index}'", "here")
        )
    assert len(tally.kinds) == 1
    assert tally.kinds.total() == 9
    assert len(tally.found) == 5


# --- the readers that judge -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "body", "end"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello", "complete"),
        (b"5;a=b \r\nhello\r\n0\r\nA: b\r\n\r\nrest", b"hello", "complete"),
        (b"5\r\nhel", b"hel", "open"),
        (b"", b"", "open"),
        (b"5\nhello", b"", "broken"),
        (b"5\r\nhello!\r\n", b"hello", "broken"),
        (b"5\r\nhello\r0\r\n\r\n", b"hello", "broken"),
        (b"+5\r\nhello\r\n", b"", "broken"),
        (b"\r\n", b"", "broken"),
        (b"0000000000000005\r\nhello\r\n", b"", "broken"),
        (b"0\r\nA b\r\n\r\n", b"", "broken"),
        (b"0;" + b"x" * 16384 + b"\r\n\r\n", b"", "broken"),
    ],
)
def test_the_reader_of_chunks(wire: bytes, body: bytes, end: str) -> None:
    reader = ChunkReader()
    reader.receive(wire)
    assert reader.body == body
    assert end == ("complete" if reader.complete else "broken" if reader.broken else "open")
    assert not reader.complete or wire[reader.consumed :] in (b"", b"rest")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: h\r\n",
        b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ],
)
def test_the_reader_of_heads_takes_nothing_that_has_two_meanings(raw: bytes) -> None:
    with pytest.raises(Illegal):
        framing_of(request_head(raw))


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_the_reader_of_streams_knows_the_end_of_a_frame(line_end: bytes) -> None:
    watch = BoundaryWatch()
    for piece in (b"data: 1\n\n", b": c\n", b": c\n\nevent: a\ndata: 2\n\n", b"\n", b": d\n"):
        watch.wrote(piece.replace(b"\n", line_end))
    for piece in (b"data: 1\n", b": c", b"data: 1"):
        with pytest.raises(Illegal):
            BoundaryWatch().wrote(piece.replace(b"\n", line_end))
