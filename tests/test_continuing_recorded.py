"""Streams of real servers, cut after each frame and continued by a server that knows the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import told_chat
from tests.continuing import CLIENTS, Relayed, Replica
from tests.dialects.drive import events
from tests.streams import CORPUS, FOLDERS, recorded

CUTS = 5
"""At most so many of one stream."""


def bodies() -> list[Path]:
    """Chat streams: recorded ones, and where the corpus is not here what the tests bring along."""
    return [path for dialect, path in recorded() if dialect == "chat"] or sorted(
        (Path(__file__).parent / "data").glob("**/*chat*.sse")
    )


def frames_of(body: bytes) -> list[bytes]:
    body = body.replace(b"\r\n", b"\n")
    return [frame + b"\n\n" for frame in body.split(b"\n\n") if frame.strip()]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("path", bodies(), ids=lambda path: path.stem[:60])
def test_a_recorded_stream_cut_after_any_frame(path: Path, client: str) -> None:
    frames = frames_of(path.read_bytes())
    whole = Relayed(client=client).run(frames)
    text = told_chat.stream(events(b"".join(frames))).text("text")
    for cut in range(1, len(frames), max(len(frames) // CUTS, 1)):
        other = Replica(text, ident="other")
        relayed = Relayed(other.answer, client=client).run(frames[:cut])
        if other.asked:
            assert relayed.verdict == "complete"
            assert relayed.stream.continued == 1
            assert relayed.tale.text("text") == whole.tale.text("text"), cut
            assert relayed.tale.text("reasoning") == whole.tale.text("reasoning")
            assert not relayed.tale.calls
        else:
            alone = Relayed(client=client).run(frames[:cut])
            assert relayed.out == alone.out


def test_most_recorded_texts_can_be_continued() -> None:
    """So that the test above does not look at errors only."""
    if not CORPUS.is_dir():
        pytest.skip("the corpus is not here")
    continued = 0
    for path in bodies():
        frames = frames_of(path.read_bytes())
        text = told_chat.stream(events(b"".join(frames))).text("text")
        relayed = Relayed(Replica(text).answer).run(frames[: len(frames) * 2 // 3])
        continued += relayed.stream.continued
    assert FOLDERS["chat"]
    assert continued >= 20
