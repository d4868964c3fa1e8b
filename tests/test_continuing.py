"""A stream that is cut in its text and continued elsewhere: the client gets each character once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.dialects.profiles import BY_NAME
from relay.errors import UpstreamTimeout
from tests.continuing import ASKED, CLIENTS, RESET, Relayed, Replica, frame
from tests.cuts import every_way

TEXT = "Zürich lies\n\nbetween  hills.\n\n    👩‍🚀 said: «日本語»\t!"
every_client = pytest.mark.parametrize("client", CLIENTS)


def spare(**more: Any) -> Replica:
    return Replica(TEXT, ident="chatcmpl-two", model="m-two", created=1763600099, **more)


def uncut(client: str, **more: Any) -> Relayed:
    first = Relayed(client=client)
    return first.run(Replica(TEXT, **more).answer(first.request))


# --- every cut --------------------------------------------------------------------------------


@every_client
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("trims", [False, True])
def test_cut_after_any_frame_it_goes_on_where_it_was(client: str, trims: bool, chunked: bool) -> None:
    frames = Replica(TEXT).answer(Relayed(client=client).request)
    whole = uncut(client).tale
    for cut in range(2, len(frames) - 2):
        relayed = Relayed(spare(trims=trims).answer, client=client, chunked=chunked).run(frames[:cut])
        assert relayed.stream.continued == 1
        assert relayed.verdict == "complete"
        told = relayed.tale
        if trims:  # white space that is said twice is generated twice
            assert told.counts is not None
            assert whole.counts is not None
            assert told.counts["output"] >= whole.counts["output"]
            told.counts = whole.counts
        assert told == whole, cut


@every_client
@pytest.mark.parametrize("error", [None, RESET, UpstreamTimeout("the upstream sent nothing for 300 s")])
def test_cut_at_any_byte_it_is_whole_or_ends_with_the_error(client: str, error: Any) -> None:
    body = b"".join(Replica("Zü 日.\n", ident="a").answer(Relayed(client=client).request))
    whole = None
    for cut in range(len(body) + 1):
        other = Replica("Zü 日.\n", ident="b")
        relayed = Relayed(other.answer, client=client).run([body[:cut]], cut=error)
        if relayed.stream.continued or b"[DONE]" in body[:cut]:
            whole = whole or relayed.tale.text("text")
            assert (relayed.verdict, relayed.tale.text("text")) == ("complete", "Zü 日.\n"), cut
        else:
            assert not other.asked or relayed.stream.continued
    assert whole


@every_client
@pytest.mark.parametrize("chunked", [False, True])
def test_however_both_bodies_are_read(client: str, chunked: bool) -> None:
    frames = Replica(TEXT).answer(Relayed(client=client).request)
    whole = uncut(client).tale
    for cut in (3, 7):
        for pieces in every_way(b"".join(frames[:cut]) + frames[cut][:20]):

            def rest(request: Any, like: list[bytes] = pieces) -> list[bytes]:
                body = b"".join(spare().answer(request))
                size = max(map(len, like))
                return [body[at : at + size] for at in range(0, len(body), size)]

            relayed = Relayed(rest, client=client, chunked=chunked).run(pieces)
            assert relayed.verdict == "complete"
            assert relayed.tale == whole


@every_client
def test_cut_again_and_again(client: str) -> None:
    frames = Replica(TEXT).answer(Relayed(client=client).request)

    def cut(request: Any) -> list[bytes]:
        return spare().answer(request)[:4]

    relayed = Relayed(cut, cut, spare().answer, client=client).run(frames[:4])
    assert relayed.stream.continued == 3
    assert relayed.verdict == "complete"
    assert relayed.tale == uncut(client).tale


@every_client
def test_without_another_it_ends_with_the_error(client: str) -> None:
    frames = Replica(TEXT).answer(Relayed(client=client).request)
    relayed = Relayed(client=client).run(frames[:5])
    assert relayed.verdict == "failed"
    assert relayed.stream.end_code == "UE"
    assert relayed.tale.text("text") == TEXT[:12]


def test_frames_that_have_not_come_whole_are_asked_for_again() -> None:
    frames = Replica(TEXT).answer(ASKED)
    relayed = Relayed(spare().answer).run([b"".join(frames[:3]), frames[3][:-9]], cut=RESET)
    assert relayed.asked[0]["messages"][-1] == {"role": "assistant", "content": TEXT[:6]}
    assert relayed.tale.text("text") == TEXT


@pytest.mark.parametrize("client", ["chat", "responses"])
def test_a_long_answer_of_which_most_passed_unread(client: str) -> None:
    text = "Round and round the carousel goes. " * 100
    frames = Replica(text).answer(Relayed(client=client).request)
    for cut in (len(frames) // 2, len(frames) - 4):
        relayed = Relayed(Replica(text).answer, client=client, chunked=True).run(frames[:cut])
        assert relayed.asked[0]["messages"][-1]["content"] == text[: 3 * (cut - 1)]
        assert relayed.tale.text("text") == text
        assert relayed.verdict == "complete"


# --- one answer -------------------------------------------------------------------------------


def test_it_has_one_name_and_one_role() -> None:
    frames = Replica(TEXT).answer(ASKED)
    relayed = Relayed(spare().answer).run(frames[:5])
    chunks = [payload for _, payload in relayed.events if payload]
    for key in ("id", "created", "model"):
        assert {chunk[key] for chunk in chunks} == {chunks[0][key]}
    assert [chunk for chunk in chunks for choice in chunk["choices"] if "role" in choice["delta"]] == chunks[
        :1
    ]
    assert b"prompt_text" not in relayed.out
    assert "id-changed" not in relayed.stream.flags
    assert "continued" in relayed.stream.flags


def test_what_was_there_before_the_cut_is_untouched() -> None:
    frames = Replica(TEXT).answer(ASKED)
    relayed = Relayed(spare().answer).run(frames[:5])
    assert relayed.out.startswith(b"".join(frames[:5]))
    assert uncut("chat").out == b"".join(frames)


@every_client
def test_it_is_marked_once_with_a_comment_line_before_its_first_frame(client: str) -> None:
    frames = Replica(TEXT).answer(Relayed(client=client).request)
    relayed = Relayed(spare().answer, client=client).run(frames[:5])
    mark = b": relay continued on spare-1 after 12 characters\n"
    assert relayed.out.count(b"relay continued") == 1
    before, after = relayed.out.split(mark)
    assert before.endswith(b"\n\n")
    assert after.startswith((b"data: {", b"event: "))


def test_the_first_continued_chunk_says_so_to_programs() -> None:
    frames = Replica(TEXT).answer(ASKED)
    relayed = Relayed(spare().answer).run(frames[:5])
    said = [payload["x_relay"] for _, payload in relayed.events if payload and "x_relay" in payload]
    assert said == [{"continued_on": "spare-1", "after_characters": 12}]


def test_an_id_line_makes_no_difference_to_the_mark() -> None:
    frames = [b"id: 7\n" + one for one in Replica(TEXT).answer(ASKED)]
    relayed = Relayed(spare().answer).run(frames[:5])
    assert b"characters\n\n" not in relayed.out
    assert relayed.verdict == "complete"
    assert relayed.tale.text("text") == TEXT


@every_client
@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("spare_counts", [False, True])
def test_its_tokens_are_those_of_one_answer(client: str, counts: bool, spare_counts: bool) -> None:
    whole = uncut(client).tale.counts
    frames = Replica(TEXT, counts=counts).answer(Relayed(client=client).request)
    for cut in (2, 3, 9):
        relayed = Relayed(spare(counts=spare_counts).answer, client=client).run(frames[:cut])
        assert relayed.tale.counts == whole
        assert relayed.stream.usage == uncut(client).stream.usage


def test_tokens_over_several_cuts_are_summed() -> None:
    def cut(request: Any) -> list[bytes]:
        return spare(counts=True).answer(request)[:4]

    frames = Replica(TEXT).answer(ASKED)
    for counts in (False, True):
        relayed = Relayed(cut, spare(counts=counts).answer).run(frames[:4])
        assert relayed.tale.counts == uncut("chat").tale.counts


def test_details_of_tokens() -> None:
    def rest(request: Any) -> list[bytes]:
        *frames, _, done = spare().answer(request)
        usage = {"prompt_tokens": 14, "completion_tokens": 9, "total_tokens": 23}
        details = {
            "completion_tokens_details": {"reasoning_tokens": 8},
            "prompt_tokens_details": {"cached_tokens": 13},
        }
        last = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
        return [*frames, frame({**last, "usage": usage | details}), done]

    frames = Replica(TEXT).answer(ASKED)
    relayed = Relayed(rest).run(frames[:5])
    assert relayed.tale.counts == {"input": 10, "output": 13, "cached": 10, "written": 0, "reasoning": 0}


def test_a_first_chunk_that_says_more_than_a_role() -> None:
    def rest(request: Any) -> list[bytes]:
        first, second, *others = spare().answer(request)
        role, text = json.loads(first[6:]), json.loads(second[6:])
        role["choices"][0]["delta"]["content"] = text["choices"][0]["delta"]["content"]
        return [frame(role | {"prompt_token_ids": None}), *others]

    relayed = Relayed(rest).run(Replica(TEXT).answer(ASKED)[:5])
    assert relayed.tale == uncut("chat").tale
    assert b'"prompt_text"' not in relayed.out
    assert b'"prompt_token_ids"' not in relayed.out
    assert relayed.out.count(b'"role"') == 1


@every_client
def test_a_byte_order_mark_before_the_rest(client: str) -> None:
    def rest(request: Any) -> list[bytes]:
        first, *others = spare().answer(request)
        return [b"\xef\xbb\xbf" + first, *others]

    relayed = Relayed(rest, client=client).run(Replica(TEXT).answer(Relayed(client=client).request)[:5])
    assert relayed.tale == uncut(client).tale
    assert b"\xef\xbb\xbf" not in relayed.out


# --- white space ------------------------------------------------------------------------------


@pytest.mark.parametrize("trims", [False, True])
@pytest.mark.parametrize(
    "text", ["One.\n\n\n  two", "a    b", "x\n\n\n\n\n\ny", "tab\t\t\tend", "end   \n  ", "\n\n a  b"]
)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_white_space_comes_once(trims: bool, text: str, size: int) -> None:
    def chunk(said: str) -> bytes:
        choice = {"index": 0, "delta": {"content": said}, "finish_reason": None}
        return frame(
            {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        )

    for cut in range(1, len(text) + 1):
        if not text[:cut].strip():
            continue
        relayed = Relayed(Replica(text, trims=trims).answer)
        relayed.run([chunk(text[at : min(at + size, cut)]) for at in range(0, cut, size)])
        assert relayed.tale.text("text") == text, cut
        assert relayed.verdict == "complete"


@pytest.mark.parametrize(
    ("said", "comes", "whole"),
    [
        ("One.\n\n", "Two", "One.\n\nTwo"),
        ("One.\n\n", "\nTwo", "One.\n\nTwo"),
        ("One.\n\n", " Two", "One.\n\n Two"),
        ("One.\n", "\n\nTwo", "One.\n\nTwo"),
        ("One. ", "", "One. "),
    ],
)
def test_white_space_that_a_template_took_and_that_does_not_come_again(
    said: str, comes: str, whole: str
) -> None:
    """What was sent stays sent; what comes is only shortened by what is the same."""
    other = Replica(said.rstrip() + comes, trims=True)
    relayed = Relayed(other.answer).run(Replica(said).answer(ASKED)[:-3])
    assert relayed.asked
    assert relayed.tale.text("text") == whole
    assert relayed.verdict == "complete"


def test_servers_of_two_kinds() -> None:
    frames = Replica("One \n two three four").answer(ASKED)
    for cut in range(2, len(frames) - 3):
        vllm = Replica("One \n two three four", trims=True)
        relayed = Relayed(vllm.answer, profile="sglang", then="vllm").run(frames[:cut])
        assert relayed.tale.text("text") == "One \n two three four"
        assert vllm.asked[0]["return_prompt_text"] is True
    thoughtful = Relayed(profile="vllm").run(Replica("One", thoughts="Hm").answer(ASKED)[:3])
    assert thoughtful.stream.fits(BY_NAME["vllm"])
    assert not thoughtful.stream.fits(BY_NAME["sglang"])
    assert not Relayed().stream.fits(BY_NAME["generic"])


def test_a_server_that_appends_is_taken_at_its_word() -> None:
    frames = Replica(TEXT).answer(ASKED)
    for cut in range(2, len(frames) - 2):
        relayed = Relayed(spare(appends=True, shows=False).answer, profile="sglang").run(frames[:cut])
        assert relayed.tale.text("text") == TEXT
        assert "return_prompt_text" not in relayed.asked[0]


# --- answers that are no continuation ---------------------------------------------------------


def refused(other: Replica, said: str = "One.", client: str = "chat") -> str:
    """What relay says of it; the client gets nothing of it, and the error."""
    frames = Replica(said, thoughts="").answer(ASKED)
    relayed = Relayed(other.answer, other.answer, client=client).run(frames[:-3])
    assert relayed.verdict == "failed"
    assert relayed.tale.text("text") == said
    assert b"relay continued" not in relayed.out
    assert relayed.stream.continued == 0
    assert len(relayed.asked) == 1, "it is not asked again"
    assert relayed.stream.end_code == "UE", "it ends for the reason that it was cut"
    return relayed.refused


def test_one_that_answers_anew_is_refused() -> None:
    assert "does not go on from the text" in refused(Replica("One. Two.", ignores=True))


def test_one_whose_prompt_is_not_known_is_refused() -> None:
    assert "does not go on from the text" in refused(Replica("One. Two.", silent=True))


def test_an_older_one_is_trusted_unless_there_is_white_space() -> None:
    relayed = Relayed(Replica("One. Two.", shows=False).answer).run(Replica("One.").answer(ASKED)[:-3])
    assert relayed.tale.text("text") == "One. Two."
    assert "white space" in refused(Replica("One. Two.", shows=False), "One. ")


def test_an_older_one_that_has_nothing_to_add_is_refused() -> None:
    """It may have seen a closed message; a stop reason is never invented."""
    assert "is empty" in refused(Replica("One.", shows=False))
    relayed = Relayed(Replica("One.").answer).run(Replica("One.").answer(ASKED)[:-3])
    assert relayed.verdict == "complete"


def test_one_that_thinks_anew_is_refused() -> None:
    class Thinker(Replica):
        def answer(self, request: Any) -> list[bytes]:
            frames = super().answer(request)
            payload = json.loads(frames[1][6:])
            payload["choices"][0]["delta"] = {"reasoning": "Hm."}
            return [frames[0], frame(payload), *frames[1:]]

    assert "begins with thoughts" in refused(Thinker("One. Two."))


def test_a_document_is_no_continuation() -> None:
    class Whole(Replica):
        def answer(self, request: Any) -> list[bytes]:
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": " Two."},
                "finish_reason": "stop",
            }
            return [json.dumps({"id": "d", "object": "chat.completion", "choices": [choice]}).encode()]

    assert "is a document" in refused(Whole("One. Two."))


@every_client
def test_an_error_is_no_continuation(client: str) -> None:
    def broken(request: Any) -> list[bytes]:
        return [frame({"error": {"message": "no such model", "type": "invalid_request_error", "code": 404}})]

    frames = Replica(TEXT).answer(Relayed(client=client).request)
    relayed = Relayed(broken, spare().answer, client=client).run(frames[:5])
    assert relayed.verdict == "failed"
    assert "(404)" in relayed.refused
    assert "closed the connection" in str(relayed.tale.error)
    assert len(relayed.asked) == 1


# --- the upstream's own error -----------------------------------------------------------------

DIED = frame({"error": {"message": "EngineCore died", "type": "InternalServerError", "code": 500}})
TOO_LONG = frame({"error": {"message": "too long", "type": "invalid_request_error", "code": 400}})


@every_client
def test_a_server_that_says_it_died_is_continued_too(client: str) -> None:
    frames = Replica(TEXT).answer(Relayed(client=client).request)
    relayed = Relayed(spare().answer, client=client).run([*frames[:5], DIED + frame(None)])
    assert relayed.verdict == "complete"
    assert relayed.tale == uncut(client).tale


@every_client
def test_its_error_leaves_when_nobody_continues_it(client: str) -> None:
    frames = Replica(TEXT).answer(Relayed(client=client).request)
    relayed = Relayed(client=client).run([*frames[:5], DIED + frame(None)])
    assert relayed.verdict == "failed"
    assert relayed.stream.end_code == "UX"
    assert "EngineCore died" in str(relayed.tale.error)
    assert relayed.tale.text("text") == TEXT[:12]


def test_an_error_that_another_would_make_too_passes() -> None:
    frames = Replica(TEXT).answer(ASKED)
    relayed = Relayed(spare().answer).run([*frames[:5], TOO_LONG])
    assert not relayed.asked
    assert relayed.out == b"".join([*frames[:5], TOO_LONG])


@every_client
def test_an_error_of_the_one_that_continues_is_its_own(client: str) -> None:
    frames = Replica(TEXT).answer(Relayed(client=client).request)
    relayed = Relayed(lambda asked: [*spare().answer(asked)[:3], TOO_LONG], client=client).run(frames[:5])
    assert relayed.stream.continued == 1
    assert relayed.verdict == "failed"
    assert "too long" in str(relayed.tale.error)


# --- properties -------------------------------------------------------------------------------

texts = st.text(st.sampled_from("ab .\n\t é日👩\u200d"), min_size=1, max_size=30)


@settings(max_examples=300)
@given(texts, st.data(), st.sampled_from(CLIENTS), st.booleans(), st.booleans())
def test_any_text_cut_anywhere(
    text: str, data: st.DataObject, client: str, trims: bool, counts: bool
) -> None:
    request = Relayed(client=client).request
    frames = Replica(text, counts=counts).answer(request)
    others = []
    for ident in range(data.draw(st.integers(1, 3))):
        replica = Replica(text, ident=f"id-{ident}", trims=trims, counts=counts)
        stop = data.draw(st.integers(1, len(frames)))
        others.append(lambda asked, replica=replica, stop=stop: replica.answer(asked)[:stop])
    others.append(Replica(text, ident="last", trims=trims).answer)
    body = b"".join(frames)
    cut = data.draw(st.integers(0, len(body)))
    relayed = Relayed(*others, client=client).run([body[:cut]] if cut else [])
    said = relayed.tale
    assert text.startswith(said.text("text")) or not relayed.out
    if relayed.out and relayed.verdict == "complete":
        assert said.text("text") == text
    elif relayed.out:
        assert not text[: len(said.text("text"))].strip(), "it could have been continued"
