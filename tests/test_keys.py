"""Keys: where one is carried, which are accepted, what LiteLLM's word on one means, how long it is kept.

``data/key_info.json`` holds real answers of LiteLLM 1.83.10, 1.85.0 and 1.109.1: without a database, and
with a stand-in for its client. ``ROW`` is the table of these versions' schema.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import orjson
import pytest

from relay import keys
from relay.keys import Known, Memory, Permission, Verdict, key_in, understood
from relay.wire.credentials import KEY_FIELDS

KEY = b"sk-a-virtual-key"
DIGEST = hashlib.sha256(KEY).digest()

ROW: dict[str, Any] = {
    "key_name": "sk-...-key",
    "key_alias": "team-a",
    "soft_budget_cooldown": False,
    "spend": 0.25,
    "expires": None,
    "models": [],
    "aliases": {},
    "config": {},
    "router_settings": {},
    "user_id": None,
    "team_id": None,
    "agent_id": None,
    "project_id": None,
    "permissions": {},
    "max_parallel_requests": None,
    "metadata": {},
    "blocked": None,
    "tpm_limit": None,
    "rpm_limit": None,
    "max_budget": None,
    "budget_duration": None,
    "budget_reset_at": None,
    "allowed_cache_controls": [],
    "allowed_routes": [],
    "policies": [],
    "access_group_ids": [],
    "model_spend": {"gpt-4o": 0.25},
    "model_max_budget": {},
    "budget_id": None,
    "organization_id": None,
    "object_permission_id": None,
    "created_at": "2026-10-01T08:00:00.123000Z",
    "created_by": "default_user_id",
    "updated_at": "2026-10-01T08:00:00.123000Z",
    "updated_by": "default_user_id",
    "last_active": "2026-11-01T08:00:00.123000Z",
    "rotation_count": 0,
    "auto_rotate": False,
    "rotation_interval": None,
    "last_rotation_at": None,
    "key_rotation_at": None,
    "budget_limits": None,
    "litellm_budget_table": None,
    "litellm_organization_table": None,
    "litellm_project_table": None,
    "object_permission": None,
    "jwt_key_mappings": None,
}


def row(**fields: Any) -> bytes:
    """LiteLLM's answer about a key with these fields."""
    return orjson.dumps({"key": DIGEST.hex(), "info": {**ROW, **fields}})


def refused(kind: str | None, message: str = "no") -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": "401"}})


def permission(**fields: Any) -> Permission:
    known = understood(DIGEST, 200, row(**fields))
    assert known is not None
    assert known.permission is not None
    return known.permission


# --- where it is --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"Authorization", b"Bearer sk-1")], b"sk-1"),
        ([(b"authorization", b"bearer sk-1")], b"sk-1"),
        ([(b"AUTHORIZATION", b"BEARER   sk-1 ")], b"sk-1"),
        ([(b"x-api-key", b"sk-1")], b"sk-1"),
        ([(b"API-Key", b"sk-1")], b"sk-1"),
        ([(b"x-goog-api-key", b"sk-1")], b"sk-1"),
        ([(b"x-litellm-api-key", b"sk-1")], b"sk-1"),
        ([(b"x-litellm-api-key", b"Bearer sk-1")], b"sk-1"),
        # In LiteLLM's order, wherever they stand.
        ([(b"x-api-key", b"sk-2"), (b"authorization", b"Bearer sk-1")], b"sk-1"),
        ([(b"authorization", b"Bearer sk-2"), (b"x-litellm-api-key", b"sk-1")], b"sk-1"),
        ([(b"x-api-key", b"sk-2"), (b"api-key", b"sk-1")], b"sk-1"),
        ([(b"authorization", b""), (b"x-api-key", b"sk-1")], b"sk-1"),
        # Of two lines the first, as with every framework's `get`.
        ([(b"x-api-key", b"sk-1"), (b"X-API-Key", b"sk-2")], b"sk-1"),
        ([(b"authorization", b"Basic c2stMTo="), (b"x-api-key", b"sk-1")], b"sk-1"),
        ([(b"authorization", b"Bearer \xc3\xa9")], b"\xc3\xa9"),
        ([], None),
        ([(b"authorization", b"Bearer")], None),
        ([(b"authorization", b"Bearer  ")], None),
        ([(b"authorization", b"sk-1")], None),
        ([(b"authorization", b"Basic c2stMTo=")], None),
        ([(b"x-api-key", b"  ")], None),
        ([(b"cookie", b"token=sk-1")], None),
    ],
)
def test_the_key_of_a_request(headers: list[tuple[bytes, bytes]], key: bytes | None) -> None:
    assert key_in(headers) == key


def test_no_field_is_read_that_would_go_on_to_a_provider() -> None:
    assert set(keys.FIELDS) <= KEY_FIELDS


# --- the list -----------------------------------------------------------------------------------------


def test_a_listed_key_is_found_wherever_it_stands() -> None:
    others = [hashlib.sha256(b"%d" % number).digest() for number in range(3)]
    for at in range(4):
        assert keys.is_listed(DIGEST, [*others[:at], DIGEST, *others[at:]])
    assert not keys.is_listed(DIGEST, others)
    assert not keys.is_listed(DIGEST, [])


def test_every_entry_is_compared_and_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    compare_digest = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return compare_digest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    accepted = [DIGEST, b"a" * 32, b"b" * 32]
    assert keys.is_listed(DIGEST, accepted)
    assert compared == accepted


def test_the_id_is_the_beginning_of_litellms_token() -> None:
    assert keys.digest_of(KEY).hex() == hashlib.sha256(KEY).hexdigest()
    assert keys.id_of(DIGEST) == hashlib.sha256(KEY).hexdigest()[:8]


# --- what LiteLLM says: refusals ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        # Real ones.
        (400, refused("no_db_connection", "No connected db."), "has no database"),
        (401, refused("auth_error", "Authentication Error, No api key passed in."), "does not accept"),
        (
            401,
            refused("auth_error", "Authentication Error, Malformed API Key passed in. Ensure Key has"),
            "does not accept",
        ),
        # From its sources.
        (
            401,
            refused("token_not_found_in_db", "Invalid proxy server token passed."),
            "does not accept",
        ),
        (401, refused("expired_key", "Authentication Error - Expired Key. sk-...abcd"), "has expired"),
        (401, refused("auth_error", "Authentication Error, Key is blocked. Update via"), "is blocked"),
        (
            401,
            refused("auth_error", "Virtual Key expected. Received=sk-a****-key"),
            "does not accept",
        ),
        # Whatever stands in it.
        (401, b"", "does not accept"),
        (401, b"<html>", "does not accept"),
        (200, row(blocked=True), "blocked"),
        (200, row(status="deleted"), "blocked or expired"),
        (200, row(status="expired"), "blocked or expired"),
    ],
)
def test_a_key_that_litellm_refuses(status: int, body: bytes, why: str) -> None:
    known = understood(DIGEST, status, body)
    assert known is not None
    assert known.permission is None
    assert why in known.refusal
    assert "sk-" not in known.refusal
    assert not known.whole


@pytest.mark.parametrize("status", [502, 503, 504])
def test_no_answer_is_no_refusal(status: int) -> None:
    assert understood(DIGEST, status, b"<html>Bad Gateway</html>") is None


# --- what LiteLLM says: it is another's to judge ----------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, refused("budget_exceeded", "Budget has been exceeded!")),
        (429, refused("budget_exceeded", "Budget has been exceeded!")),
        (404, refused("not_found_error", "Key not found in database")),
        (500, refused("internal_server_error", "Database not connected. Connect a database to your proxy")),
        (500, refused("internal_error", "Internal server error from /key/info.")),
    ],
)
def test_a_key_that_litellm_accepts_and_says_nothing_of(status: int, body: bytes) -> None:
    known = understood(DIGEST, status, body)
    assert known == Known(Permission(DIGEST.hex(), asks=True))
    assert known is not None
    assert known.permission is not None
    assert known.permission.allows("gpt-4o") is Verdict.ASK


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"detail":"Not Found"}'),
        (200, b"<html>Welcome</html>"),
        (200, b"[]"),
        (200, b'{"info": "text"}'),
        (200, b'{"info": {}}'),
        (302, b""),
        (500, b"oops"),
    ],
)
def test_an_answer_that_is_not_litellms_permits_nothing_and_is_reported(status: int, body: bytes) -> None:
    known = understood(DIGEST, status, body)
    assert known is not None
    assert known.permission == Permission(DIGEST.hex(), asks=True)
    assert f"status {status}" in known.odd
    assert not known.whole


@pytest.mark.parametrize("body", [b'{"detail": "Virtual key is not allowed to call this route."}', b""])
def test_a_key_for_models_alone_may_not_ask_and_is_not_odd(body: bytes) -> None:
    known = understood(DIGEST, 403, body)
    assert known == Known(Permission(DIGEST.hex(), asks=True), whole=True)


RECORDED = orjson.loads((Path(__file__).parent / "data" / "key_info.json").read_bytes())


@pytest.mark.parametrize(
    "one", RECORDED, ids=lambda one: f"{one['litellm']}-{one['key']}-{'db' if one['database'] else 'none'}"
)
def test_real_answers(one: dict[str, Any]) -> None:
    digest = keys.digest_of(one["key"].encode())
    known = understood(digest, one["status"], orjson.dumps(one["body"]))
    assert known is not None
    assert not known.odd
    if one["means"] == "refused":
        assert known.permission is None
        return
    assert known.permission is not None
    asked = {model: known.permission.allows(model) for model in ("gpt-4o", "openai/o1", "claude")}
    assert set(asked.values()) == {
        "yes": {Verdict.YES},
        "listed": {Verdict.YES, Verdict.ASK},
        "ask": {Verdict.ASK},
    }.get(one["means"])
    assert (known.expires is not None) == (one["key"] == "sk-ends")


def test_an_answer_about_another_key_permits_nothing() -> None:
    other = orjson.dumps({"key": hashlib.sha256(b"other").hexdigest(), "info": ROW})
    known = understood(DIGEST, 200, other)
    assert known is not None
    assert known.permission == Permission(DIGEST.hex(), asks=True)


# --- what LiteLLM says: models ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "model", "verdict"),
    [
        ([], "anything", Verdict.YES),
        ([], None, Verdict.YES),
        (["*"], "anything", Verdict.YES),
        (["all-proxy-models"], "anything", Verdict.YES),
        (["a", "all-proxy-models"], None, Verdict.YES),
        (["gpt-4o", "claude"], "gpt-4o", Verdict.YES),
        (["gpt-4o", "claude"], "claude", Verdict.YES),
        (["gpt-4o"], "gpt-4o-mini", Verdict.NO),
        (["gpt-4o"], "GPT-4o", Verdict.NO),
        (["gpt-4o"], "", Verdict.NO),
        (["gpt-4o"], None, Verdict.ASK),
        (["openai/*"], "openai/gpt-4o", Verdict.YES),
        (["openai/*"], "openai/", Verdict.YES),
        (["openai/*"], "gpt-4o", Verdict.ASK),
        (["openai/*"], "xopenai/gpt-4o", Verdict.ASK),
        (["openai/gpt-*-mini"], "openai/gpt-4o-mini", Verdict.YES),
        (["openai/gpt-*-mini"], "openai/gpt-4o-mini-2", Verdict.ASK),
        (["gpt-4.1*"], "gpt-4x1", Verdict.ASK),  # a dot is a dot, though LiteLLM's regex takes any
        (["all-team-models"], "gpt-4o", Verdict.ASK),
        (["gpt-4o", "all-team-models"], "gpt-4o", Verdict.ASK),
        (["no-default-models"], "gpt-4o", Verdict.ASK),
    ],
)
def test_the_models_of_a_key(models: list[str], model: str | None, verdict: Verdict) -> None:
    assert permission(models=models).allows(model) is verdict


@pytest.mark.parametrize("models", [None, "gpt-4o", [1], {"gpt-4o": 1}])
def test_models_that_cannot_be_read(models: Any) -> None:
    assert permission(models=models).allows("gpt-4o") is Verdict.ASK


# --- what LiteLLM says: what only it can count --------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"max_budget": 10.0},
        {"max_budget": 0.0},
        {"tpm_limit": 1000},
        {"rpm_limit": 0},
        {"tpd_limit": 5},
        {"max_parallel_requests": 2},
        {"model_max_budget": {"gpt-4o": {"budget_limit": 1}}},
        {"budget_limits": [{"budget_duration": "1h", "max_budget": 1}]},
        {"budget_duration": "30d"},
        {"budget_id": "b"},
        {"litellm_budget_table": {"max_budget": None, "rpm_limit": 3}},
        {"team_id": "t"},
        {"user_id": "u"},
        {"organization_id": "o"},
        {"project_id": "p"},
        {"agent_id": "a"},
        {"aliases": {"fast": "gpt-4o-mini"}},
        {"config": {"model_list": [{}]}},
        {"router_settings": {"num_retries": 2}},
        {"permissions": {"pii": True}},
        {"allowed_routes": ["/embeddings"]},
        {"allowed_routes": ["llm_api_routes"]},
        {"access_group_ids": ["g"]},
        {"policies": ["p"]},
        {"object_permission_id": "o"},
        {"object_permission": {"vector_stores": ["v"]}},
        {"metadata": {"guardrails": ["pii"]}},
        {"metadata": {"model_rpm_limit": {"gpt-4o": 1}}},
        {"metadata": {"tags": ["a"]}},
        {"allowed_cache_controls": ["no-cache"]},
        {"a_limit_of_next_year": 3},
        {"a_limit_of_next_year": 0},
        {"expires": "soon"},
        {"expires": 5},
    ],
)
def test_what_only_litellm_can_answer_for(fields: dict[str, Any]) -> None:
    assert permission(**fields).allows("gpt-4o") is Verdict.ASK
    assert permission(**fields).allows(None) is Verdict.ASK


@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"guardrails": [], "logging": None, "nested": {"a": {}}}},
        {"a_switch_of_next_year": False},
        {"total_spend": 12.5, "key_type": "default", "status": "active", "settings_updated_at": "2026"},
        {"litellm_budget_table": {"max_budget": None}},
        {"object_permission": {}},
    ],
)
def test_what_is_not_set_limits_nothing(fields: dict[str, Any]) -> None:
    assert permission(**fields).allows("gpt-4o") is Verdict.YES


def test_it_can_only_be_more_cautious_without_a_field() -> None:
    for name in ROW:
        info = {field: value for field, value in ROW.items() if field != name}
        known = understood(DIGEST, 200, orjson.dumps({"key": DIGEST.hex(), "info": info}))
        assert known is not None
        assert known.permission is not None
        assert known.permission.asks == (name == "models")


@pytest.mark.parametrize(
    ("text", "when"),
    [
        (None, None),
        ("2026-11-22T00:00:00Z", 1795305600.0),
        ("2026-11-22T00:00:00", 1795305600.0),
        ("2026-11-22T01:00:00+01:00", 1795305600.0),
        ("2026-11-22T00:00:00.500000+00:00", 1795305600.5),
    ],
)
def test_when_a_key_expires(text: str | None, when: float | None) -> None:
    known = understood(DIGEST, 200, row(expires=text))
    assert known is not None
    assert known.whole
    assert known.expires == when


def test_a_permission_shows_the_digest_and_no_key() -> None:
    assert permission().digest == hashlib.sha256(KEY).hexdigest()
    assert KEY.decode() not in repr(permission())


# --- how long it is remembered ------------------------------------------------------------------------------


def test_what_was_learned_is_gone_at_its_time() -> None:
    memory: Memory[str] = Memory(10)
    memory.put(b"a", "x", until=5.0)
    assert memory.get(b"a", 4.999) == "x"
    assert memory.get(b"a", 5.0) is None
    assert len(memory) == 0
    assert memory.get(b"a", 0.0) is None


def test_the_one_that_was_used_longest_ago_makes_room() -> None:
    memory: Memory[str] = Memory(2)
    memory.put(b"a", "x", until=9.0)
    memory.put(b"b", "y", until=9.0)
    assert memory.get(b"a", 1.0) == "x"
    memory.put(b"c", "z", until=9.0)
    assert [memory.get(name, 1.0) for name in (b"a", b"b", b"c")] == ["x", None, "z"]


def test_what_is_learned_anew_replaces() -> None:
    memory: Memory[str] = Memory(2)
    memory.put(b"a", "x", until=1.0)
    memory.put(b"a", "y", until=9.0)
    assert len(memory) == 1
    assert memory.get(b"a", 5.0) == "y"


def test_without_room_nothing_is_kept() -> None:
    memory: Memory[str] = Memory(0)
    memory.put(b"a", "x", until=9.0)
    assert memory.get(b"a", 1.0) is None
    assert len(memory) == 0
