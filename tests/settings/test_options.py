"""Settings by the word: what a line may say, what may be switched off, and what a wrong word is told."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.access import Keys, Spend
from relay.address import Origin
from relay.config import Drain, Health, Limits, Queue, Repeat, Retry, Timeouts, Upstream
from relay.errors import UsageError
from relay.settings import options

CHOICES = {"dialects": ["chat", "messages", "responses"], "profile": ["generic", "vllm"]}
ORIGIN = Origin("", 0)
BASE = Upstream(ORIGIN)


class Mood(enum.Enum):
    FAIR = "fair"
    FOUL = "foul"


@dataclasses.dataclass(frozen=True)
class Sample:
    """A field of each kind that a setting can have."""

    mood: Mood = Mood.FAIR
    some_time: float = 1.0
    count: int = 3
    ask: bool = False
    word: str = ""
    words: tuple[str, ...] = ()
    origin: Origin = ORIGIN


def sample(line: str, **how: object) -> Sample:
    return options.read(Sample(), line, "--sample", **how)


# --- what a line may say ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("", Sample()),
        ("  ", Sample()),
        ("mood=foul", Sample(mood=Mood.FOUL)),
        ("some-time=250ms", Sample(some_time=0.25)),
        ("some_time=2m", Sample(some_time=120)),
        ("count=7", Sample(count=7)),
        ("ask=on", Sample(ask=True)),
        ("ask=true", Sample(ask=True)),
        ("ask=off", Sample()),
        ("word=a=b", Sample(word="a=b")),
        ("word='a b' count=7", Sample(word="a b", count=7)),
        ("words=a,b,a", Sample(words=("a", "b"))),
        ("  count=7\tmood=foul ", Sample(count=7, mood=Mood.FOUL)),
    ],
)
def test_a_line_is_read_by_the_types_of_the_fields(line: str, read: Sample) -> None:
    assert sample(line) == read


def test_what_is_not_said_stays_as_it_was() -> None:
    before = Sample(count=9, word="kept")
    assert options.read(before, "mood=foul", "--sample") == dataclasses.replace(before, mood=Mood.FOUL)


@pytest.mark.parametrize("line", ["foul count=7", "count=7 foul"])
def test_a_word_alone_is_the_leading_field(line: str) -> None:
    assert sample(line, lead="mood") == Sample(mood=Mood.FOUL, count=7)


def test_a_field_that_is_no_setting_cannot_be_set() -> None:
    assert "origin" not in options.names(Sample)
    with pytest.raises(UsageError, match="no setting is called 'origin'"):
        sample("origin=http://h")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("cuont=7", "--sample cuont=7: no setting is called 'cuont'; did you mean count?"),
        ("COUNT=7", "no setting is called 'COUNT'; "),
        ("zzz=7", "expected mood, some-time, count, ask, word, words"),
        ("=7", "no setting is called ''"),
        ("count", "--sample count: expected count=VALUE"),
        ("count=7 count=8", "--sample count=8: count is there twice"),
        ("some-time=1s some_time=1s", "some-time is there twice"),
        ("some-time=5", "--sample some-time=5: duration '5': expected a number with its unit"),
        ("some-time=", "duration '': expected a number with its unit"),
        ("count=7s", "count '7s': expected a whole number"),
        ("count=-7", "count '-7': expected a whole number"),
        ("count=\u0667", "expected a whole number"),
        ("count=1234567890", "at most nine digits"),
        ("count=", "count '': expected a whole number"),
        ("ask=maybe", "'maybe' is unknown; expected on, true, off, false"),
        ("mood=foull", "'foull' is unknown; did you mean foul?"),
        ("mood=none", "'none' is unknown; expected fair, foul"),
        ("word=", "expected printable characters"),
        ("word=a\x07b", "expected printable characters"),
        ("'word=a\nb'", r"--sample 'word=a\nb': expected printable characters"),
        ("words=a,,b", "expected printable characters"),
        ("word='a", "--sample: no closing quotation"),
    ],
)
def test_a_wrong_word_is_told_where_what_and_what_was_expected(line: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        sample(line)
    assert told in str(caught.value)
    assert str(caught.value).startswith("--sample")
    assert len(str(caught.value).splitlines()) == 1


def test_a_second_leading_word_is_there_twice() -> None:
    with pytest.raises(UsageError, match="--sample foul: mood is there twice"):
        sample("fair foul", lead="mood")
    with pytest.raises(UsageError, match="'fowl' is unknown; did you mean foul"):
        sample("fowl", lead="mood")


# --- switched off -----------------------------------------------------------------------------

STRUCTS = (Upstream, Retry, Queue, Health, Drain, Timeouts, Limits, Keys, Spend)
FIELDS = [(struct, name) for struct in STRUCTS for name in options.names(struct)]
NUMBERS = [
    (struct, field.name)
    for struct in STRUCTS
    for field in dataclasses.fields(struct)
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]
every_number = pytest.mark.parametrize(
    ("struct", "name"), NUMBERS, ids=[f"{struct.__name__}.{name}" for struct, name in NUMBERS]
)

HOLDING = ("client_head", "client_body", "client_stall", "linger", "connect", "pool_idle", "terminal")
FILLING = ("head", "fields", "frame", "document", "translated", "objects")
NEVER_OFF = {(Timeouts, name) for name in HOLDING} | {(Limits, name) for name in FILLING}
"""What would let one peer hold or fill a worker."""


def reads(struct: type, name: str, text: str) -> object:
    return getattr(options.read(of_nothing(struct), f"{name}={text}", "--x"), name)


def of_nothing(struct: type) -> object:
    return BASE if struct is Upstream else struct()


def default(struct: type, name: str) -> float:
    return getattr(of_nothing(struct), name)


def test_every_number_says_whether_it_may_be_switched_off() -> None:
    rows = {(struct, name) for struct, names in options.OFF.items() for name in names}
    texts = {(Upstream, "dialects"), (Upstream, "health")}
    assert rows == set(NUMBERS) | texts
    assert all(off.effect for names in options.OFF.values() for off in names.values())


def test_what_one_peer_could_use_up_cannot_be_switched_off() -> None:
    refused = {(struct, name) for struct, name in NUMBERS if not options.OFF[struct][name].words}
    assert refused >= NEVER_OFF
    assert refused - NEVER_OFF == {
        (Upstream, "weight"),
        *((Retry, name) for name in ("attempts", "budget", "pause", "longest_pause")),
        *((Health, name) for name in ("pause", "longest", "timeout", "rise", "fall")),
        *((Keys, name) for name in ("entries", "timeout")),
        (Spend, "queue"),
    }


@every_number
def test_none_and_0_are_taken_where_the_table_says_so_and_refused_with_its_reason(
    struct: type, name: str
) -> None:
    off = options.OFF[struct][name]
    bare = {float: "0s", int: "0"}[type(default(struct, name))]
    unit = "0B" if name in options.SIZES.get(struct, ()) else bare
    for text, word in (("none", "none"), ("0", "0"), (unit, "0")):
        if word in off.words:
            assert reads(struct, name, text) == 0
        else:
            with pytest.raises(UsageError, match=re.escape(off.effect)):
                reads(struct, name, text)


def test_what_is_off_by_default() -> None:
    assert {(struct, name) for struct, name in NUMBERS if not default(struct, name)} == {
        *((Upstream, "concurrency"), (Retry, "hedge"), (Drain, "delay"), (Timeouts, "exchange")),
        *((Limits, "body"), (Limits, "connections")),
    }


@every_number
@given(data=st.data())
def test_what_is_written_reads_as_the_same(struct: type, name: str, data: st.DataObject) -> None:
    is_float = isinstance(default(struct, name), float)
    numbers = st.integers(1, 10**9 - 1)
    number = data.draw(numbers.map(lambda n: n / 1000) if is_float else numbers)
    assert reads(struct, name, options.written(struct, name, number)) == pytest.approx(number, rel=1e-9)


@pytest.mark.parametrize(
    ("struct", "name", "number", "text"),
    [
        (Timeouts, "idle", 300.0, "300s"),
        (Timeouts, "idle", 0.1, "100ms"),
        (Timeouts, "idle", 1.5, "1.5s"),
        (Timeouts, "idle", 0.0, "none"),
        (Limits, "head", 64 * 1024, "64KiB"),
        (Limits, "head", 1 << 30, "1GiB"),
        (Limits, "head", 1000, "1000B"),
        (Limits, "replay", 0, "0"),
        (Limits, "fields", 1024, "1024"),
    ],
)
def test_a_number_is_written_with_its_unit(struct: type, name: str, number: float, text: str) -> None:
    assert options.written(struct, name, number) == text


# --- upstreams --------------------------------------------------------------------------------


def upstream(text: str, base: Upstream = BASE) -> Upstream:
    return options.upstream(text, "--upstream", base, CHOICES)


def test_all_that_an_upstream_can_say() -> None:
    place = "weight=3 order=2 concurrency=64 name=a health=/h?x=1"
    assert upstream(f"http://a:8000/v1 {place} dialects=chat,messages profile=vllm") == Upstream(
        Origin("a", 8000),
        base_path="/v1",
        weight=3,
        order=2,
        concurrency=64,
        dialects=("chat", "messages"),
        profile="vllm",
        name="a",
        health="/h?x=1",
    )


def test_an_upstream_that_says_nothing_is_its_address() -> None:
    for url in ("http://a:8000", "https://a/v1", "unix:/run/up.sock"):
        assert upstream(url) == Upstream.parse(url)
    assert upstream("http://h/a=b") == Upstream.parse("http://h/a=b")
    assert upstream("unix:'/run/my own.sock' weight=2").origin.path == "/run/my own.sock"


def test_what_it_does_not_say_is_as_in_the_base() -> None:
    base = dataclasses.replace(BASE, dialects=("chat",), profile="vllm")
    assert upstream("http://a", base) == Upstream(Origin("a", 80), dialects=("chat",), profile="vllm")
    other = upstream("http://a dialects=none profile=generic", base)
    assert (other.dialects, other.profile) == ((), "generic")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected http://host"),
        ("weight=3", "expected http://host"),
        ("http://a http://b", "--upstream http://a: each address needs a flag of its own"),
        (
            "http://a wieght=3",
            "--upstream http://a wieght=3: no setting is called 'wieght'; did you mean weight?",
        ),
        ("http://a weight=0", "it would never be asked"),
        ("http://a weight=-1", "whole number"),
        ("http://a order=-1", "whole number"),
        ("http://a order=none", "expected 0 for"),
        ("http://a dialects=chat,massages", "'massages' is unknown; did you mean messages?"),
        ("http://a dialects=", "'' is unknown"),
        ("http://a profile=vlm", "'vlm' is unknown; did you mean vllm?"),
        ("http://a name=b/c", "name=b/c: expected up to 64 of"),
        ("http://a 'name=b c'", "expected up to 64 of"),
        ("http://a name=" + "n" * 65, "expected up to 64 of"),
        ("http://a name=", "expected printable characters"),
        ("http://a health=health", "health=health: expected a path"),
        ("http://a 'health=/a b'", "expected a path"),
        ("http://a health=/a#b", "expected a path"),
        ("http://a base-path=/v1", "no setting is called 'base-path'"),
        ("http://a origin=b", "no setting is called 'origin'"),
    ],
)
def test_what_an_upstream_cannot_say(text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        upstream(text)
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("order", [0, 1, 999999999])
def test_any_order_will_do(order: int) -> None:
    assert upstream(f"http://a order={order}").order == order


@pytest.mark.parametrize("text", ["http://user:pass'word@h", "http://h http://user:password@h"])
def test_a_line_that_cannot_be_read_shows_no_password(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        upstream(text)
    assert "word" not in str(caught.value)


# --- rubbish ----------------------------------------------------------------------------------


def complaint(read: Callable[[], object]) -> str | None:
    try:
        read()
    except UsageError as error:
        return str(error)
    return None


LINES = st.text(alphabet="abceghilnopstuw=-_0159,.smh'\"\\/ KMiB\t\n\r\x1b\u2028\u0660é", max_size=30)


@given(LINES | LINES.map("weight={}".format) | LINES.map("dialects={}".format) | LINES.map("name={}".format))
def test_any_line_is_read_or_a_usage_error_of_one_line(line: str) -> None:
    for struct in STRUCTS:
        told = complaint(lambda struct=struct: options.read(of_nothing(struct), line, "--x"))
        assert told is None or len(told.splitlines()) == 1
    told = complaint(lambda: upstream(f"http://a {line}"))
    assert told is None or len(told.splitlines()) == 1


def test_a_word_that_is_not_in_a_list_is_told_what_is() -> None:
    assert options.like("mesages", CHOICES["dialects"]) == "did you mean messages?"
    assert options.like("grpc", CHOICES["dialects"]) == "expected chat, messages, responses"


def test_retry_has_a_leading_word() -> None:
    retry = options.read(
        Retry(), "completions attempts=5 longest-pause=1s", "--retry", lead="repeat", without=("hedge",)
    )
    assert retry == Retry(repeat=Repeat.COMPLETIONS, attempts=5, longest_pause=1)
    with pytest.raises(UsageError, match="no setting is called 'hedge'"):
        options.read(Retry(), "hedge=1s", "--retry", lead="repeat", without=("hedge",))
