"""What LiteLLM did to a stream is said, and of no other stream anything is.

The captures are of real LiteLLM proxies, with the time of each read: those of the corpus (or the few of them
beside these tests), and those of ``data/recognising``, recorded with its response cache, its interception of
web searches and o1-pro, in front of ``relay fake``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.checked import CheckedStream
from relay.continued import ContinuedStream
from relay.continuing import Transcript
from relay.dialects import PROFILES
from relay.opening import open_response
from relay.recognising import ADVICE, FAKED, LYING, ONE_PIECE, REPLAY, SLICES, SLICES_ELSEWHERE, Recogniser
from relay.recognising_burst import BURST, SLICE
from relay.wire.forwarding import ResponseForm
from relay.wire.framing import ChunkedDecoder, ChunkedEncoder, Data, Header, UntilCloseDecoder
from tests.streams import CORPUS, LIMIT, Answer, checked, download, handwritten, mender_of, recorded
from tests.test_checked import DONE, FINISH, START, chunk, frame, typed
from tests.wire.event_stream import frames

DATA = Path(__file__).parent / "data"
LITELLM = CORPUS / "litellm" if (CORPUS / "litellm").is_dir() else DATA / "recognising" / "litellm"
ROUTES = {"openai-passthrough": "chat", "anthropic-passthrough": "messages"}
PROXY: list[Header] = [(b"x-litellm-version", b"1.85.0"), (b"x-litellm-call-id", b"717c8013")]


@dataclass(frozen=True)
class Capture:
    path: Path

    @cached_property
    def record(self) -> dict[str, Any]:
        return dict(json.loads(self.path.with_suffix(".json").read_bytes()))

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def dialect(self) -> str:
        route = self.path.stem.split("--")[0]
        return ROUTES.get(route, route)

    @property
    def headers(self) -> list[Header]:
        return [(name.encode(), value.encode()) for name, value in self.record["headers"]]

    def reads(self) -> Iterator[tuple[float, bytes]]:
        body, at = self.path.read_bytes(), 0
        for ms, size in self.record["reads"]:
            yield ms / 1000, body[at : at + size]
            at += size


def captures(root: Path) -> list[Capture]:
    found = [Capture(path) for path in sorted(root.glob("1.*/*.sse"))]
    return [capture for capture in found if capture.record["status"] == 200]


def bare(piece: bytes) -> tuple[Data, int, int]:
    return bytearray(piece), 0, len(piece)


def replayed(capture: Capture, headers: list[Header] | None = None) -> tuple[Answer, bytes]:
    """The stream as it came, and the note that its head would have had."""
    stream = checked(capture.dialect)
    stream.recogniser = Recogniser(capture.headers if headers is None else headers)
    answer, note, now = Answer(stream), None, 0.0
    stream.recogniser.clock = lambda: now
    for now, piece in capture.reads():  # noqa: B007 (the clock reads it)
        answer.read(piece, bare)
        if note is None and answer.writes:
            note = stream.note
        if answer.over:
            break
    if not answer.over:
        answer.close()
    return answer, stream.note if note is None else note


def name_of(stream: CheckedStream) -> str | None:
    return stream.verdict.name if stream.verdict is not None else None


# --- the corpus: what is recognised, and nothing else ---------------------------------------------

LYING_ENDS = {
    "chat--hosted_vllm--mid-error",
    "chat--hosted_vllm--error-first",
    "messages--openai--mid-failed",
    *(f"responses--anthropic--trunc-{how}" for how in ("clean", "close", "rst")),
}
"""Of 1.83.10 and 1.85.0, where they are captured. The other ends that these invent show nothing."""
TOOLS_VANISHED = {f"1.83.10/messages--openai-wildcard--{tool}" for tool in ("tool", "tool-whole", "tools2")}
"""Faked, but not a piece of the answer came."""


def expected(capture: Capture) -> str | None:
    saw = capture.record.get("upstream_saw")
    if isinstance(saw, dict) and saw.get("stream") is False:
        broken = "trunc" in capture.name  # a JSON error in a 200, which is an error by now
        return None if broken or capture.name in TOOLS_VANISHED else FAKED
    old = not capture.name.startswith("1.109")
    return LYING if old and capture.path.stem in LYING_ENDS else None


@pytest.mark.parametrize("capture", captures(LITELLM), ids=lambda capture: capture.name)
def test_each_stream_of_litellm_is_known_for_what_it_is(capture: Capture) -> None:
    answer, note = replayed(capture)
    assert name_of(answer.stream) == expected(capture)
    assert note in (b"", b"x-relay-converted: json\r\n", b"x-relay-verdict: faked-stream\r\n")
    plain, _ = replayed(capture, [])
    assert answer.writes == plain.writes
    assert (type(answer.broken), type(answer.refused)) == (type(plain.broken), type(plain.refused))


def test_most_faked_streams_are_known_before_their_head_leaves() -> None:
    known: Counter[tuple[str, str]] = Counter()
    all_: Counter[tuple[str, str]] = Counter()
    for capture in captures(LITELLM):
        if expected(capture) == FAKED:
            version, route = capture.path.parent.name, capture.path.stem.split("--")[0]
            all_[version, route] += 1
            known[version, route] += replayed(capture)[1] == b"x-relay-verdict: faked-stream\r\n"
    late = {key: (known[key], count) for key, count in all_.items() if known[key] < count}
    assert all_
    # 1.109.1 lets go of a first slice or two of a message by themselves, more often than not.
    assert set(late) <= {("1.109.1", "messages")}, late


# --- the cache, the interception of web searches, o1-pro ------------------------------------------

MISSED = {
    *(f"{version}/messages--vllm--cached" for version in ("1.83.10", "1.85.0")),
    *(f"{version}/responses--claude--cached" for version in ("1.83.10", "1.85.0", "1.109.1")),
}
"""Replays without the header, in one piece that is too short to tell, or slowly."""
NAMED_OTHERWISE = {"1.85.0/messages--gpt--cached"}
"""A replay without the header, sliced like a faked stream."""


def meant(capture: Capture) -> str | None:
    what = capture.path.stem.split("--")[2]
    if what == "live" or capture.name in MISSED:
        return None
    return REPLAY if "cached" in what and capture.name not in NAMED_OTHERWISE else FAKED


@pytest.mark.parametrize("capture", captures(DATA / "recognising"), ids=lambda capture: capture.name)
def test_replays_and_searches_are_known(capture: Capture) -> None:
    answer, note = replayed(capture)
    if capture.path.stem == "chat--gpt--websearch":  # 194 characters in one piece: no sign is certain
        assert answer.stream.verdict is None
        return
    assert name_of(answer.stream) == meant(capture)
    if meant(capture) == REPLAY:
        assert note == b"x-relay-verdict: cache-replay\r\n"


def test_every_verdict_comes_with_advice_and_evidence() -> None:
    verdicts = [replayed(capture)[0].stream.verdict for capture in captures(DATA / "recognising")]
    assert {verdict.name for verdict in verdicts if verdict} == {FAKED, REPLAY}
    assert set(ADVICE) == {FAKED, REPLAY, LYING}
    assert all("LiteLLM 1." in verdict.evidence for verdict in verdicts if verdict)


# --- other servers ------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [[], PROXY], ids=["as they are", "as if through LiteLLM"])
@pytest.mark.parametrize("one_read", [True, False], ids=["one read", "a read for each frame"])
def test_nothing_is_said_of_real_servers(headers: list[Header], one_read: bool) -> None:
    said = {}
    for dialect, path in recorded():
        body = path.read_bytes()
        stream = checked(dialect)
        stream.recogniser = Recogniser(headers)
        download(stream, [body] if one_read else frames(body), place=bare)
        if stream.verdict or stream.note.startswith(b"x-relay-verdict"):
            said[path.name] = stream.verdict
    assert said == {}


@pytest.mark.parametrize("headers", [[], PROXY], ids=["as they are", "as if through LiteLLM"])
def test_nothing_is_said_of_handwritten_streams(headers: list[Header]) -> None:
    said = {}
    for name, sample in handwritten().items():
        stream = checked(sample.dialect)
        stream.recogniser = Recogniser(headers)
        download(stream, [sample.body], place=bare)
        said[name] = stream.verdict
    assert {name: verdict for name, verdict in said.items() if verdict} == {}


# --- slices -------------------------------------------------------------------------------------


def chat(sizes: list[int], finish: bool = True) -> list[bytes]:
    pieces = [frame(chunk({"content": "é" * size})) for size in sizes]
    return [START, *pieces, *([FINISH, DONE] if finish else [])]


def messages(blocks: list[list[int]]) -> list[bytes]:
    head = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
    usage = {"input_tokens": 3, "output_tokens": 0}
    message = {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}
    out = [typed({"type": "message_start", "message": message})]
    for index, sizes in enumerate(blocks):
        start = {"type": "content_block_start", "index": index}
        out.append(typed({**start, "content_block": {"type": "text", "text": ""}}))
        for size in sizes:
            delta = {"type": "text_delta", "text": "x" * size}
            out.append(typed({"type": "content_block_delta", "index": index, "delta": delta}))
        out.append(typed({"type": "content_block_stop", "index": index}))
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    return [*out, typed({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 40}})]


STOP = typed({"type": "message_stop"})


def at_once(dialect: str, parts: list[bytes], headers: list[Header] | None = None) -> CheckedStream:
    stream = checked(dialect)
    stream.recogniser = Recogniser(PROXY if headers is None else headers)
    download(stream, [b"".join(parts)], place=bare)
    return stream


@pytest.mark.parametrize(
    ("sizes", "finish", "faked"),
    [
        ([SLICE] * SLICES, False, True),
        ([SLICE] * (SLICES - 1), False, False),
        ([SLICE] * 4 + [2], True, True),
        ([SLICE] * 3 + [2], True, False),
        ([SLICE] * 12 + [SLICE + 1], True, False),
        ([SLICE] * 12 + [4, 5], True, False),
        ([4] * 40, True, False),
        ([6] * 40, True, False),
        ([1] * 40, True, False),
    ],
)
def test_slices_are_of_one_size_and_the_last_is_shorter(sizes: list[int], finish: bool, faked: bool) -> None:
    stream = checked("chat")
    stream.recogniser = Recogniser(PROXY)
    download(stream, [b"".join(chat(sizes, finish))], eof=finish, place=bare)
    assert (name_of(stream) == FAKED) is faked
    assert (stream.note == b"x-relay-verdict: faked-stream\r\n") is faked


@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12), min_size=1, max_size=3), st.data())
def test_only_slices_are_called_so(blocks: list[list[int]], data: st.DataObject) -> None:
    body = b"".join([*messages(blocks), STOP])
    slices = all(size == SLICE for sizes in blocks for size in sizes[:-1])
    slices = slices and all(sizes[-1] <= SLICE for sizes in blocks)
    many = sum(size == SLICE for sizes in blocks for size in sizes) >= 4
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=9)))
    stream = checked("messages")
    stream.recogniser = Recogniser(PROXY)
    stream.recogniser.clock = lambda: 7.0
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    download(stream, pieces, place=bare)
    assert (name_of(stream) == FAKED) is (slices and many)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=40))
def test_a_text_of_random_words_is_not_called_faked(sizes: list[int]) -> None:
    whole = all(size == SLICE for size in sizes[:-1]) and sizes[-1] <= SLICE
    assert name_of(at_once("chat", chat(sizes))) == (FAKED if whole and sizes.count(SLICE) >= 4 else None)


@pytest.mark.parametrize(("apart", "faked"), [(0.0, True), (BURST / 8, True), (0.012, False), (0.025, False)])
def test_equal_pieces_that_come_one_by_one_are_a_stream(apart: float, faked: bool) -> None:
    stream, now = checked("chat"), 0.0
    stream.recogniser = Recogniser(PROXY)
    stream.recogniser.clock = lambda: now
    answer = Answer(stream)
    for part in chat([SLICE] * 30):
        answer.read(part, bare)
        now += apart
    answer.close()
    assert (name_of(stream) == FAKED) is faked


def test_without_a_clock_only_one_read_is_a_burst() -> None:
    stream = checked("chat")
    stream.recogniser = Recogniser(PROXY)
    download(stream, chat([SLICE] * 30), place=bare)
    assert stream.verdict is None


# --- answers in one piece -----------------------------------------------------------------------


@pytest.mark.parametrize(("size", "faked"), [(ONE_PIECE, True), (ONE_PIECE - 1, False)])
def test_a_long_answer_in_one_piece_was_not_streamed(size: int, faked: bool) -> None:
    assert (name_of(at_once("chat", chat([size]))) == FAKED) is faked
    assert name_of(at_once("chat", chat([size]), [])) is None


def test_a_long_tool_call_in_one_piece_is_usual() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "x" * 5000}}
    parts = [START, frame(chunk({"tool_calls": [call]})), frame(chunk({}, "tool_calls")), DONE]
    assert at_once("chat", parts).verdict is None


@pytest.mark.parametrize(
    ("blocks", "faked"), [([[40]], True), ([[40], [3]], True), ([[20]], False), ([[40, 9]], False)]
)
def test_a_stop_that_counts_tokens_comes_from_the_interception(blocks: list[list[int]], faked: bool) -> None:
    """Bedrock's message_stop counts, too; LiteLLM passes it, after pieces."""
    stop = typed({"type": "message_stop", "usage": {"input_tokens": 3, "output_tokens": 9}})
    assert (name_of(at_once("messages", [*messages(blocks), stop])) == FAKED) is faked


# --- other servers than LiteLLM -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "reads", "faked"),
    [
        ([20] * SLICES_ELSEWHERE, 1, True),
        ([20] * SLICES_ELSEWHERE + [3], 1, True),
        ([20] * (SLICES_ELSEWHERE - 1), 1, False),
        ([1] * 40, 1, False),
        ([20] * 40, 2, False),
        ([20] * 20 + [21] + [20] * 20, 1, False),
    ],
)
def test_elsewhere_it_takes_more(sizes: list[int], reads: int, faked: bool) -> None:
    body = b"".join(chat(sizes))
    pieces = [body] if reads == 1 else [body[: len(body) // 2], body[len(body) // 2 :]]
    stream = checked("chat")
    download(stream, pieces, place=bare)
    assert (name_of(stream) == FAKED) is faked
    assert (stream.note != b"") is faked


# --- ends ---------------------------------------------------------------------------------------

OPENAI: list[Header] = [*PROXY, (b"X-LiteLLM-Model-Api-Base", b"https://api.openai.com/v1/")]
OWN_ID = "chatcmpl-e566ba60-c93a-4415-863e-5276a4135ab8"


def counted(details: bool) -> bytes:
    usage: dict[str, Any] = {"prompt_tokens": 27, "completion_tokens": 7, "total_tokens": 34}
    if details:
        usage["completion_tokens_details"] = {"reasoning_tokens": 0}
    return frame({**chunk({}), "choices": [], "usage": usage})


@pytest.mark.parametrize(
    ("headers", "details", "lying"),
    [(OPENAI, False, True), (OPENAI, True, False), (PROXY, False, False), ([], False, False)],
)
def test_a_count_without_the_details_that_the_provider_gives(
    headers: list[Header], details: bool, lying: bool
) -> None:
    parts = [START, *chat([4, 3, 6], finish=False)[1:], FINISH, counted(details), DONE]
    assert (name_of(at_once("chat", parts, headers)) == LYING) is lying


def with_id(part: bytes, ident: str) -> bytes:
    payload = json.loads(part.removeprefix(b"data: "))
    return frame({**payload, "id": ident})


@pytest.mark.parametrize("one_read", [True, False])
@pytest.mark.parametrize(
    ("deltas", "ident", "more", "lying"),
    [
        (3, OWN_ID, [], True),
        (1, OWN_ID, [], False),
        (3, "2ec26241-25de-4615-8b18-e290e0db0f48", [], False),
        (3, OWN_ID, [4], False),
    ],
    ids=["swallowed error", "one delta", "another server's id", "another deployment went on"],
)
def test_an_id_that_changes_for_the_end_only(
    deltas: int, ident: str, more: list[int], lying: bool, one_read: bool
) -> None:
    parts = chat([4, 3, 6][:deltas], finish=False)
    parts += [with_id(part, ident) for part in [*chat(more, finish=False)[1:], FINISH]]
    stream = checked("chat")
    stream.recogniser = Recogniser(PROXY)
    download(stream, [b"".join([*parts, DONE])] if one_read else [*parts, DONE], place=bare)
    assert (name_of(stream) == LYING) is lying
    assert stream.note == b""


def test_ids_that_change_with_every_chunk_show_nothing() -> None:
    parts = [with_id(part, OWN_ID[:-2] + f"{n:02d}") for n, part in enumerate(chat([4, 3, 6])[:-1])]
    assert at_once("chat", [*parts, DONE]).verdict is None


@pytest.mark.parametrize(("parts", "lying"), [([FINISH, DONE], True), ([START, FINISH, DONE], False)])
def test_an_end_without_anything(parts: list[bytes], lying: bool) -> None:
    assert (name_of(at_once("chat", parts)) == LYING) is lying
    assert at_once("chat", parts, []).verdict is None


def test_an_end_that_is_none_does_not_lie() -> None:
    stream = at_once("chat", chat([4, 3, 6], finish=False))
    assert stream.end_code == "UE"
    assert stream.verdict is None


def test_who_goes_on_is_not_blamed() -> None:
    stream = ContinuedStream(
        *(UntilCloseDecoder(), ChunkedEncoder(), mender_of("chat")),
        Transcript(b'{"messages":[{"role":"user","content":"hi"}],"stream":true}', PROFILES["vllm"]),
        frame_limit=LIMIT,
        recogniser=Recogniser(PROXY),
    )
    answer = Answer(stream)
    for part in chat([SLICE] * 12, finish=False):
        answer.read(part, bare)
    stream.resume(UntilCloseDecoder(), "b")
    assert stream.verdict is None


# --- what it costs ------------------------------------------------------------------------------


def test_after_the_burst_frames_are_not_looked_at() -> None:
    stream, now = checked("chat", ChunkedDecoder()), 0.0
    stream.recogniser = Recogniser(PROXY)
    stream.recogniser.clock = lambda: now
    answer, looked = Answer(stream), []
    for part in chat([SLICE] * 120, finish=False):
        answer.read(b"%x\r\n%b\r\n" % (len(part), part), bare)
        looked.append(stream.recogniser.burst.frames)
        now += 0.01
    assert looked[7:] == [looked[7]] * len(looked[7:])
    assert stream._settled


@pytest.mark.parametrize(("sizes", "frames_read"), [([4, 3] + [6] * 90, 4), ([SLICE] * 90, 65)])
def test_no_more_is_read_than_is_needed(sizes: list[int], frames_read: int) -> None:
    stream = at_once("chat", chat(sizes))
    assert stream.recogniser.burst.frames <= frames_read
    assert not stream.recogniser.burst.open


def test_other_servers_are_not_looked_at() -> None:
    stream = at_once("chat", chat([4, 3, 6] * 30), [(b"content-type", b"text/event-stream")])
    assert stream.recogniser.burst.frames == 0


def test_a_frame_without_end_is_not_kept() -> None:
    recogniser = Recogniser(PROXY)
    data = b"data: " + b"x" * 300_000
    recogniser.show(data, 0, len(data))
    assert not recogniser.burst.open
    assert not recogniser.burst._rest


@pytest.mark.parametrize(
    "text",
    [b"data: 1\n\n", b"data: {\n\n", b'data: {"choices":3}\n\n', b'data: {"choices":[7,{"delta":4}]}\n\n',
     b'data: {"choices":[{"index":{},"delta":{"content":{},"tool_calls":[[],{"function":3}]}}]}\n\n',
     b'data: {"choices":[{"index":[],"delta":{"content":"x","tool_calls":{}}}]}\n\n',
     b'data: {"type":"content_block_delta","index":{},"delta":{"text":7}}\n\n',
     b'data: {"type":"a.delta","item_id":[],"delta":"x"}\n\n',
     b'data: {"type":"response.created","response":[]}\n\n',
     b'data: {"type":"response.created","response":{"usage":{"output_tokens":true}}}\n\n',
     b"\xff\n\n", b": x\n\n", b"\r\n\r\n"],
)  # fmt: skip
def test_whatever_comes_is_no_trouble(text: bytes) -> None:
    recogniser = Recogniser(PROXY)
    recogniser.show(text, 0, len(text))
    assert recogniser.burst.counted == 0


# --- the machines have it -----------------------------------------------------------------------


def test_a_response_is_opened_with_its_headers() -> None:
    form = ResponseForm(True, False, True, b"", chunked=True, delimited=True, held=True)
    machine = open_response(form, UntilCloseDecoder(), LIMIT, mender_of("chat"), headers=PROXY)
    assert isinstance(machine, CheckedStream)
    assert machine.recogniser.burst.open
    machine = open_response(form, UntilCloseDecoder(), LIMIT, mender_of("chat"))
    assert isinstance(machine, CheckedStream)
    assert not machine.recogniser.burst.open
