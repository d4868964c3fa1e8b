"""Who may ask: keys of the list, keys that LiteLLM knows, for how long, and how others are refused."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from relay.access import Keys
from relay.config import Settings, Timeouts, Upstream
from relay.errors import Busy, RelayError, Unauthorized, UpstreamUnreachable, UsageError, document
from relay.net import admission
from relay.net.admission import Admission, Permission, Verdict
from relay.net.pool import Pool
from relay.wire.http1 import Inbound, RequestHead

from .kit import ScriptedUpstream, Wire, answer, get, post, until, within

KEY = b"sk-the-key-of-team-blue-5f2a"
MASTER = b"sk-master-of-all-77aa"
CHAT, MESSAGES, RESPONSES = b"/v1/chat/completions", b"/v1/messages", b"/v1/responses"


def digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def request(*fields: bytes, target: bytes = CHAT) -> RequestHead:
    raw = post(b"", *fields, target=target)
    return Inbound().receive_request(raw)


def keyed(key: bytes = KEY, target: bytes = CHAT) -> RequestHead:
    return request(b"authorization: Bearer " + key, target=target)


def told(key: bytes = KEY, **fields: Any) -> bytes:
    """LiteLLM's answer about a key that it knows."""
    info = {"key_alias": "blue", "models": [], "expires": None, "blocked": None, "spend": 0.0, **fields}
    return answer(orjson.dumps({"key": digest(key).hex(), "info": info}), b"content-type: application/json")


def unknown(status: bytes = b"401 Unauthorized", kind: str = "token_not_found_in_db") -> bytes:
    said = {"message": f"Invalid proxy server token passed. {KEY.decode()}", "type": kind, "code": "401"}
    return answer(orjson.dumps({"error": said}), status=status)


class Clock:
    """The loop's time, which a test can put forward."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.ahead = 0.0

    def time(self) -> float:
        return self._loop.time() + self.ahead

    def create_task(self, coroutine: Any) -> Any:
        return self._loop.create_task(coroutine)


class Door:
    """An admission in front of a LiteLLM that the test plays."""

    def __init__(self, upstream: ScriptedUpstream, keys: Keys) -> None:
        loop = asyncio.get_running_loop()
        litellm = replace(Upstream.parse(upstream.url), name="litellm")
        settings = Settings(upstreams=(litellm,), keys=keys, timeouts=Timeouts(rest=0.0))
        self.pool = Pool(loop, settings, None)
        self.clock = Clock(loop)
        self.admission = Admission(self.clock, self.pool, settings)  # type: ignore[arg-type]
        self.upstream = upstream
        self.wire: Wire | None = None

    def admit(self, head: RequestHead | None = None) -> asyncio.Task[Permission]:
        return asyncio.get_running_loop().create_task(self.admission.admit(head or keyed()))

    async def question(self) -> Wire:
        """The next one, read."""
        if self.wire is None:
            self.wire = await self.upstream.accept()
        head = (await self.wire.message()).head
        assert head.line == b"GET /key/info HTTP/1.1"
        self.authorization = head[b"authorization"]
        return self.wire

    async def learns(self, response: bytes, head: RequestHead | None = None) -> Permission:
        """Admit a request for which LiteLLM is asked, and says this."""
        task = self.admit(head)
        await (await self.question()).send(response)
        return await within(task)

    @property
    def silent(self) -> bool:
        """LiteLLM is asked nothing."""
        return self.upstream.nobody_waits() and (self.wire is None or not self.wire.waiting())


OpenDoor = Callable[..., Door]


@pytest.fixture
async def door(upstream: ScriptedUpstream) -> AsyncIterator[OpenDoor]:
    """``door(ttl=…)``: with LiteLLM as its verifier, unless it says otherwise."""
    made: list[Door] = []

    def make(**said: Any) -> Door:
        made.append(Door(upstream, Keys(**{"verifier": "litellm", **said})))
        return made[-1]

    yield make
    for one in made:
        one.pool.close()
        await until(lambda one=one: one.pool.open_count == 0)  # type: ignore[misc]


async def refusal(door: Door, head: RequestHead | None = None, response: bytes | None = None) -> RelayError:
    with pytest.raises(RelayError) as raised:
        await (within(door.admit(head)) if response is None else door.learns(response, head))
    return raised.value


# --- the list -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verifier", ["", "litellm"])
async def test_a_listed_key_may_do_everything_and_nobody_is_asked(door: OpenDoor, verifier: str) -> None:
    one = door(digests=(digest(b"other"), digest(MASTER)), verifier=verifier)
    for fields in (b"authorization: Bearer " + MASTER, b"x-api-key: " + MASTER, b"api-key: " + MASTER):
        permission = await within(one.admit(request(fields)))
        assert permission.digest == digest(MASTER).hex()
        assert permission.allows("anything") is permission.allows(None) is Verdict.YES
    assert one.silent


async def test_another_one_is_refused(door: OpenDoor) -> None:
    one = door(digests=(digest(MASTER),), verifier="")
    error = await refusal(one)
    assert isinstance(error, Unauthorized)
    assert "not on the list" in str(error)
    assert digest(KEY).hex()[:8] in str(error)
    assert one.silent


@pytest.mark.parametrize("verifier", ["", "litellm"])
async def test_without_a_key_nobody_is_asked(door: OpenDoor, verifier: str) -> None:
    one = door(digests=(digest(MASTER),), verifier=verifier)
    for head in (request(), request(b"authorization: Basic YTpi"), request(b"x-api-key:")):
        error = await refusal(one, head)
        assert isinstance(error, Unauthorized)
        assert "send one as" in str(error)
    assert one.silent


def test_the_verifier_must_be_an_upstream() -> None:
    loop = asyncio.new_event_loop()
    settings = Settings(upstreams=(Upstream.parse("http://127.0.0.1:1"),), keys=Keys(verifier="litellm"))
    with pytest.raises(UsageError, match="litellm"):
        Admission(loop, Pool(loop, settings, None), settings)
    loop.close()


# --- LiteLLM ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [b"authorization: Bearer ", b"x-api-key: ", b"x-litellm-api-key: "])
async def test_litellm_is_asked_with_the_clients_key(door: OpenDoor, field: bytes) -> None:
    one = door()
    permission = await one.learns(told(models=["gpt-4o"]), request(field + KEY))
    assert one.authorization == b"Bearer " + KEY
    assert permission.digest == digest(KEY).hex()
    assert permission.allows("gpt-4o") is Verdict.YES
    assert permission.allows("claude") is Verdict.NO


async def test_it_is_asked_again_after_the_ttl(door: OpenDoor) -> None:
    one = door(ttl=60.0)
    first = await one.learns(told())
    one.clock.ahead = 59.0
    assert await within(one.admit()) == first
    assert one.silent
    one.clock.ahead = 60.0
    assert (await one.learns(told(max_budget=5))).allows("m") is Verdict.ASK


async def test_a_revoked_key_lives_no_longer(door: OpenDoor) -> None:
    one = door(ttl=60.0)
    await one.learns(told())
    one.clock.ahead = 60.0
    assert isinstance(await refusal(one, response=unknown()), Unauthorized)
    assert isinstance(await refusal(one), Unauthorized)
    assert one.silent


async def test_a_refusal_is_remembered_for_a_shorter_time(door: OpenDoor) -> None:
    one = door(ttl=60.0, refused_ttl=10.0)
    assert isinstance(await refusal(one, response=unknown()), Unauthorized)
    one.clock.ahead = 9.0
    assert isinstance(await refusal(one), Unauthorized)
    assert one.silent
    one.clock.ahead = 10.0
    assert (await one.learns(told())).allows("m") is Verdict.YES


async def test_what_litellm_would_not_say_is_asked_for_soon(door: OpenDoor) -> None:
    one = door(ttl=60.0, refused_ttl=10.0)
    assert (await one.learns(unknown(b"500 Oops", "internal_error"))).allows("m") is Verdict.ASK
    one.clock.ahead = 9.0
    assert (await within(one.admit())).allows("m") is Verdict.ASK
    assert one.silent
    one.clock.ahead = 10.0
    assert (await one.learns(told())).allows("m") is Verdict.YES


async def test_a_key_is_not_remembered_beyond_its_end(
    door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1795305590.0)
    one = door(ttl=60.0)
    await one.learns(told(expires="2026-11-22T00:00:00Z"))  # in ten seconds
    one.clock.ahead = 9.0
    await within(one.admit())
    assert one.silent
    one.clock.ahead = 10.0
    assert isinstance(await refusal(one, response=unknown(kind="expired_key")), Unauthorized)


async def test_nothing_is_remembered_where_that_is_not_wanted(door: OpenDoor) -> None:
    one = door(ttl=0.0, refused_ttl=0.0)
    for _ in range(2):
        await one.learns(told())
        await refusal(one, response=unknown())


async def test_invented_keys_push_out_no_real_ones(door: OpenDoor) -> None:
    one = door(entries=3)
    await one.learns(told())
    for number in range(5):
        await refusal(one, keyed(b"sk-invented-%d" % number), unknown())
    assert (await within(one.admit())).allows("m") is Verdict.YES
    assert one.silent
    await refusal(one, keyed(b"sk-invented-0"), unknown())  # forgotten, and asked for again


async def test_a_strange_answer_permits_nothing_and_is_logged_once(
    door: OpenDoor, caplog: pytest.LogCaptureFixture
) -> None:
    one = door(ttl=0.0, refused_ttl=0.0)
    for _ in range(2):
        permission = await one.learns(answer(b'{"detail":"Not Found"}', status=b"404 Not Found"))
        assert permission.allows("m") is Verdict.ASK
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "is it a LiteLLM?" in line


async def test_an_answer_about_somebody_elses_key_permits_nothing(door: OpenDoor) -> None:
    assert (await door().learns(told(b"sk-other"))).allows("m") is Verdict.ASK


# --- when LiteLLM cannot be asked -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [b"502 Bad Gateway", b"503 Unavailable", b"504 Timeout"])
async def test_a_gateways_error_lets_nobody_in(door: OpenDoor, status: bytes) -> None:
    one = door()
    error = await refusal(one, response=answer(b"<html>", status=status))
    assert isinstance(error, UpstreamUnreachable)
    assert (error.status, error.retry_after) == (503, "1")
    assert f"litellm answered with status {status[:3].decode()}" in str(error)
    assert (await one.learns(told())).allows("m") is Verdict.YES  # not remembered


async def test_nor_does_silence(door: OpenDoor) -> None:
    one = door(timeout=0.1)
    task = one.admit()
    wire = await one.question()
    error = await refusal_of(task)
    assert isinstance(error, UpstreamUnreachable)
    assert "within 0.1 s" in str(error)
    assert await wire.rest() == b""


async def test_nor_does_a_broken_connection(door: OpenDoor) -> None:
    one = door()
    task = one.admit()
    (await one.question()).reset()
    assert isinstance(await refusal_of(task), UpstreamUnreachable)


async def test_what_was_known_is_not_used_beyond_its_time(door: OpenDoor) -> None:
    one = door(ttl=60.0)
    await one.learns(told())
    one.clock.ahead = 60.0
    error = await refusal(one, response=answer(b"", status=b"503 Unavailable"))
    assert isinstance(error, UpstreamUnreachable)


async def test_listed_keys_do_not_need_it(door: OpenDoor) -> None:
    one = door(digests=(digest(MASTER),))
    one.upstream.sock.close()
    assert isinstance(await refusal(one), UpstreamUnreachable)
    assert (await within(one.admit(keyed(MASTER)))).allows("m") is Verdict.YES


async def refusal_of(task: asyncio.Task[Permission]) -> RelayError:
    with pytest.raises(RelayError) as raised:
        await within(task)
    return raised.value


# --- many at once -----------------------------------------------------------------------------------------


async def test_requests_with_one_key_are_one_question(door: OpenDoor) -> None:
    one = door()
    tasks = [one.admit() for _ in range(50)]
    wire = await one.question()
    tasks += [one.admit() for _ in range(50)]
    await asyncio.sleep(0)
    assert one.silent
    await wire.send(told())
    permissions = await within(asyncio.gather(*tasks))
    assert {permission.digest for permission in permissions} == {digest(KEY).hex()}
    assert one.silent


async def test_each_of_them_gets_an_error_of_its_own(door: OpenDoor) -> None:
    one = door()
    tasks = [one.admit(keyed(target=target)) for target in (CHAT, MESSAGES)]
    await (await one.question()).send(answer(b"", status=b"503 Unavailable"))
    chat, messages = [await refusal_of(task) for task in tasks]
    assert chat is not messages
    assert orjson.loads(document(chat)).keys() == {"error"}
    assert orjson.loads(document(messages))["type"] == "error"


async def test_one_that_leaves_takes_nothing_from_the_others(door: OpenDoor) -> None:
    one = door()
    first, second = one.admit(), one.admit()
    wire = await one.question()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(first)
    await wire.send(told())
    assert (await within(second)).allows("m") is Verdict.YES


async def test_the_last_that_leaves_closes_the_question(door: OpenDoor) -> None:
    one = door(timeout=0.0)
    tasks = [one.admit(), one.admit()]
    wire = await one.question()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await within(wire.rest(), 5) == b""
    one.wire = None
    assert (await one.learns(told())).allows("m") is Verdict.YES


async def test_one_that_comes_as_the_last_leaves_asks_anew(door: OpenDoor) -> None:
    one = door()
    first = one.admit()
    await one.question()
    first.cancel()
    second = one.admit()
    one.wire = None
    await (await one.question()).send(told())
    assert (await within(second)).allows("m") is Verdict.YES


async def test_only_a_few_are_asked_for_at_once(door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_AT_ONCE", 2)
    one = door()
    tasks = [one.admit(keyed(b"sk-%d" % number)) for number in range(5)]
    wires = [await one.upstream.accept(), await one.upstream.accept()]
    await asyncio.sleep(0.01)
    assert one.upstream.nobody_waits()
    for number in range(5):
        wire = wires[number % 2]
        key = ((await wire.message()).head[b"authorization"] or b"").removeprefix(b"Bearer ")
        await wire.send(told(key))
    assert len(await within(asyncio.gather(*tasks))) == 5


async def test_a_flood_of_keys_is_refused(door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_WAITING", 2)
    one = door(digests=(digest(MASTER),))
    tasks = [one.admit(keyed(b"sk-%d" % number)) for number in range(2)]
    await asyncio.sleep(0)
    assert isinstance(await refusal(one), Busy)
    assert (await within(one.admit(keyed(MASTER)))).digest == digest(MASTER).hex()
    for task in tasks:
        await one.upstream.accept()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (await one.learns(told())).allows("m") is Verdict.YES


async def test_waiting_counts_as_silence(door: OpenDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_AT_ONCE", 1)
    one = door(timeout=0.1)
    tasks = [one.admit(keyed(b"sk-%d" % number)) for number in range(2)]
    errors = [await refusal_of(task) for task in tasks]
    assert all(isinstance(error, UpstreamUnreachable) for error in errors)


# --- in the client's words --------------------------------------------------------------------------------


def in_chat(said: dict[str, Any]) -> str:
    error = said["error"]
    assert said.keys() == {"error"}
    assert error["code"] == "invalid_api_key"
    return str(error["message"])


def in_messages(said: dict[str, Any]) -> str:
    assert said["type"] == "error"
    assert said["error"]["type"] == "authentication_error"
    return str(said["error"]["message"])


@pytest.mark.parametrize(
    ("head", "read"),
    [
        (keyed(), in_chat),
        (keyed(target=RESPONSES), in_chat),
        (keyed(target=MESSAGES), in_messages),
        (keyed(target=b"/anthropic/v1/messages"), in_messages),
        (request(b"x-api-key: " + KEY, b"anthropic-version: 2023-06-01", target=b"/v1/models"), in_messages),
        (keyed(target=b"/v1/embeddings"), in_messages),  # one document that both families of SDK read
        (Inbound().receive_request(get(b"/v1/models", b"x-api-key: " + KEY)), in_messages),
    ],
)
async def test_a_refusal_is_in_the_clients_dialect(
    door: OpenDoor, head: RequestHead, read: Callable[[dict[str, Any]], str]
) -> None:
    error = await refusal(door(digests=(digest(MASTER),), verifier=""), head)
    assert error.status == 401
    assert "not accepted" in read(orjson.loads(document(error)))


@pytest.mark.parametrize(
    "response", [unknown(), unknown(kind="expired_key"), unknown(b"400 Bad", "no_db_connection")]
)
@pytest.mark.parametrize("target", [CHAT, MESSAGES, b"/v1/embeddings"])
async def test_no_part_of_a_key_is_said_or_logged(
    door: OpenDoor, caplog: pytest.LogCaptureFixture, response: bytes, target: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    error = await refusal(door(), keyed(target=target), response)
    said = f"{error}{error.logged}{document(error)!r}{error!r}{caplog.text}"
    for start in range(len(KEY) - 4):
        assert KEY[start : start + 5].decode() not in said.replace("API key", "")
    assert digest(KEY).hex()[:8] in said
    assert digest(KEY).hex()[:9] not in said
