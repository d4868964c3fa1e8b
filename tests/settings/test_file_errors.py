"""Mistakes in ``relay.yaml``: each told at its line and column with its fix, and all of them in one run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.errors import UsageError
from tests.settings.kit import UPSTREAM, in_folder, problems_of, settings_of

__all__ = ["in_folder"]

MANY = """\
wrokers: 2
workers: 300
repair: sometimes
drain: {delay: 5, timeout: 30s}
upstreams:
  - {name: a, url: http://a:8000, dialects: [chat, massages]}
  - {name: no, url: http://b:8000}
  - {name: a, url: c:8000}
  - {name: d, url: http://d, api_key: ${RELAY_TEST_UNSET}, key_file: /k}
routes:
  - {models: ["*"], to: aa}
  - {models: [gpt], to: a, timeouts: {client_head: 1s}}
  - {models: [2024-10-21], to: a}
timeouts:
  idle: 60
  idle: 60s
limits: {frame: 65536}
keys: {verifier: e}
"""
TOLD = """\
relay.yaml:1:1: the file has no 'wrokers'; did you mean workers?
  1 | wrokers: 2
    | ^^^^^^^
relay.yaml:2:10: expected 1 to 256
  2 | workers: 300
    |          ^^^
relay.yaml:3:9: 'sometimes' is unknown; expected on, report, off
  3 | repair: sometimes
    |         ^^^^^^^^^
relay.yaml:4:16: 5 has no unit: 5s or 5ms?
  4 | drain: {delay: 5, timeout: 30s}
    |                ^
relay.yaml:6:52: 'massages' is unknown; did you mean messages?
  6 |   - {name: a, url: http://a:8000, dialects: [chat, massages]}
    |                                                    ^^^^^^^^
relay.yaml:7:12: YAML reads no as false; write "no"
  7 |   - {name: no, url: http://b:8000}
    |            ^^
relay.yaml:8:12: a second upstream is called a; the first is in line 6
  8 |   - {name: a, url: c:8000}
    |            ^
relay.yaml:8:20: upstream 'c:8000': expected http://host[:port][/base], https://… or unix:/path.sock; \
did you mean http://c:8000?
  8 |   - {name: a, url: c:8000}
    |                    ^^^^^^
relay.yaml:9:39: the variable RELAY_TEST_UNSET is not set; set it, or give a default: ${RELAY_TEST_UNSET:-…}
  9 |   - {name: d, url: http://d, api_key: ${RELAY_TEST_UNSET}, key_file: /k}
    |                                       ^^^^^^^^^^^^^^^^^^^
relay.yaml:9:70: api_key and key_file are both there: one says the key
  9 |   - {name: d, url: http://d, api_key: ${RELAY_TEST_UNSET}, key_file: /k}
    |                                                                      ^^
relay.yaml:11:25: no upstream is called 'aa'; expected a, http://b:8000, d
  11 |   - {models: ["*"], to: aa}
     |                         ^^
relay.yaml:12:39: client_head is decided before a request's route is known: it belongs to timeouts at the top
  12 |   - {models: [gpt], to: a, timeouts: {client_head: 1s}}
     |                                       ^^^^^^^^^^^
relay.yaml:13:15: YAML reads 2024-10-21 as a date; write "2024-10-21"
  13 |   - {models: [2024-10-21], to: a}
     |               ^^^^^^^^^^
relay.yaml:15:9: 60 has no unit: 60s or 60ms?
  15 |   idle: 60
     |         ^^
relay.yaml:16:3: idle is there twice; it was in line 15 already
  16 |   idle: 60s
     |   ^^^^
relay.yaml:17:17: 65536 has no unit: 65536B or 64KiB?
  17 | limits: {frame: 65536}
     |                 ^^^^^
relay.yaml:18:18: no upstream is called 'e'; expected a, http://b:8000, d
  18 | keys: {verifier: e}
     |                  ^"""


def test_every_mistake_of_a_file_is_told_in_one_run(in_folder: Path) -> None:
    with pytest.raises(UsageError) as caught:
        settings_of(MANY)
    told = re.sub(r'[:;] write ("[^"]*")(, in quotes)?', r"; write \1", str(caught.value))
    assert told == TOLD


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        # shapes
        ("upstreams: 5", (1, 12), "expected an upstream as name: and url:"),
        ("upstreams: [{name: a}]", (1, 13), "an upstream needs url: http://host:port"),
        ("- 1", (1, 1), "expected the file as name: value lines"),
        ("timeouts: [1s]", (1, 11), "expected timeouts as name: value lines (client_head, "),
        ("timeouts: {idle: [1s]}", (1, 18), "expected one value here"),
        ("timeouts: {idle: }", (1, 18), "there is no value; leave the line out"),
        ("workers: ~", (1, 10), "there is no value; leave the line out"),
        ("routes: [a]", (1, 10), "expected a route as models:, path: and to:"),
        ("a: b: c", (1, 5), ""),
        # names
        ("timeout: {idle: 5s}", (1, 1), "did you mean timeouts?"),
        ("direct: all", (1, 1), "it belongs under litellm:"),
        ("spend: {repair: on}", (1, 9), "it belongs to the top of the file"),
        ("keys: {acept: [a]}", (1, 8), "did you mean accept?"),
        # units and switches
        ("timeouts: {idle: 5}", (1, 18), "5 has no unit: 5s or 5ms?"),
        ("timeouts: {idle: 1.5}", (1, 18), "1.5 has no unit: 1.5s or 1.5ms?"),
        ("keep_alive: 15", (1, 13), "15 has no unit: 15s or 15ms?"),
        ("limits: {head: 16384}", (1, 16), "16384 has no unit: 16384B or 16KiB?"),
        ("limits: {head: 16}", (1, 16), "16 has no unit: 16KiB or 16MiB?"),
        ("timeouts: {idle: 12:30}", (1, 18), "duration '12:30': expected a number with its unit"),
        ("timeouts: {connect: none}", (1, 21), "cannot be switched off: an upstream that swallows"),
        ("ask_usage: maybe", (1, 12), "expected on, true, off, false"),
        ("retry: maybe", (1, 8), "'maybe' is unknown; expected off, safe, completions"),
        ("socket_mode: 0o660", (1, 14), "expected permission bits in octal, such as 660"),
        ("workers: 1.5", (1, 10), "expected 1 to 256"),
        # text
        ("keys: {verifier: yes}", (1, 18), 'YAML reads yes as true: write "yes"'),
        ("tls: {cert: 12:30, key: k}", (1, 13), 'write "12:30"'),
        ("litellm: {config: 2024-10-21}", (1, 19), "YAML reads 2024-10-21 as a date"),
        ("spend: {webhook: nowhere}", (1, 18), "expected a URL, such as https://"),
        # addresses
        ("listen: 8787", (1, 9), "8787 names no address: 127.0.0.1:8787, or :8787 for all addresses?"),
        ("listen: [':1', ':x']", (1, 16), "expected host:port"),
        ("listen: []", (1, 9), "there is no address"),
        ("listen: [':1', ':1']", (1, 9), ":1 is there twice"),
        ("admin: 127.0.0.1:8787", (1, 8), "127.0.0.1:8787 is there twice"),
        ("socket_mode: 660", (1, 14), "there is no listen unix:/path.sock"),
        # contradictions
        ("retry: {pause: 10s}", (1, 16), "longest-pause is shorter than pause"),
        ("health: {longest: 1ms}", (1, 19), "longest is shorter than pause"),
        ("retry: {hedge: 1s}", (1, 16), "there is no second upstream"),
        ("{hold_thinking: on, repair: off}", (1, 17), "not with repair off"),
        ("continue: on", (1, 11), "no upstream can; expected one with profile=vllm or sglang"),
        ("tls: {cert: c}", (1, 13), "tls.key or --tls-key is missing"),
        ("{keep_alive: 15s, timeouts: {silence: 20s}}", (1, 14), "say different things"),
        ("spend: {token: abc}", (1, 16), "there is no webhook"),
        ("litellm: {direct: all}", (1, 19), "--litellm, names its file"),
        # keys
        ("keys: {accept: [sha256:12]}", (1, 17), "expected sha256: and 64 hexadecimal digits"),
        ("keys: {accept: ['a b']}", (1, 17), "printable characters without blanks"),
        ("keys: {accept: []}", (1, 16), "there is no key"),
        ("keys: {file: gone.txt}", (1, 14), "gone.txt: there is no such file"),
        ("keys: {verifier: litellm}", (1, 18), "no upstream is called 'litellm'; expected up"),
    ],
)
def test_a_mistake_is_told_where_it_is(text: str, place: tuple[int, int], told: str, in_folder: Path) -> None:
    assert_told(f"{text}\n", place, told, with_upstream=True)


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("url: h:80", 6, "did you mean http://h:80?"),
        ("url: 'http://user:password@h'", 6, "a user name"),
        ("{url: http://h, base_url: http://h}", 17, "url and base_url are both there"),
        ("{url: http://h, name: 5}", 23, "YAML reads 5 as a number"),
        ("{url: http://h, name: a/b}", 23, "expected up to 64 of A-Z"),
        ("{url: http://h, weight: 0}", 25, "it would never be asked"),
        ("{url: http://h, order: first}", 24, "count 'first'"),
        ("{url: http://h, health: health}", 25, "expected a path, such as /health"),
        ("{url: http://h, query: '?a=b'}", 24, "expected what stands behind the ? of a URL"),
        ("{url: http://h, key_header: apikey}", 29, "did you mean api-key?"),
        ("{url: http://h, headers: {'a b': c}}", 27, "expected a header's name"),
        ("{url: http://h, headers: {Host: c}}", 27, "Host is relay's own to write"),
        ("{url: http://h, headers: {a: yes}}", 30, "put it in quotes"),
        ("{url: http://h, headers: {a: ' b'}}", 30, "expected text without blanks around it"),
        ("{url: http://h, headers: c}", 26, "expected headers as name: value lines"),
        ("{url: http://h, key_file: gone}", 27, "gone: there is no such file"),
        ("{url: http://h, api_key: k, key_file: gone}", 39, "api_key and key_file are both there"),
        ("{url: http://h, dialects: [[chat]]}", 28, "expected one value here"),
        ("{url: http://h, concurrency: 1GiB}", 30, "count '1GiB'"),
    ],
)
def test_a_mistake_in_an_upstream(text: str, column: int, told: str, in_folder: Path) -> None:
    assert_told(f"upstreams:\n- {text}\n", (2, column + 2), told)


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("models: [a]", 1, "a route needs to: an upstream (up, other)"),
        ("to: []", 5, "to: names no upstream; expected one of up, other"),
        ("to: upp", 5, "no upstream is called 'upp'; did you mean up?"),
        ("to: [up, up]", 10, "up is there twice"),
        ("to: {order: 2}", 5, "a target needs upstream: one of up, other"),
        ("to: {upstream: up, wieght: 2}", 20, "did you mean weight?"),
        ("to: {upstream: up, weight: 0}", 28, "it would never be asked"),
        ("to: {upstream: up, dialects: [x]}", 31, "'x' is unknown"),
        ("{to: up, models: []}", 18, "the list is empty; leave it out"),
        ("{to: up, models: [1.5]}", 19, 'write "1.5"'),
        ("{to: up, path: v1}", 16, "expected a path without its query"),
        ("{to: up, path: /a, paths: /b}", 27, "path and paths are both there"),
        ("{to: up, headers: {a: 12:30}}", 23, 'write "12:30"'),
        ("{to: up, stream: perhaps}", 18, "expected on, true, off, false"),
        ("{to: up, retry: once}", 17, "expected off, safe, completions"),
        ("{to: up, timeouts: {client_head: 1s}}", 21, "it belongs to timeouts at the top"),
        ("{to: up, timeouts: {idel: 1s}}", 21, "did you mean idle?"),
        ("{to: up, timeouts: {idle: 1}}", 27, "1 has no unit"),
        ("{to: up, limits: {connections: 1}}", 19, "it belongs to limits at the top"),
        ("{to: up, limits: 5}", 18, "expected limits as name: value lines (frame, document,"),
        ("{to: up, keep_alive: 5s, timeouts: {silence: 6s}}", 22, "say different things"),
        ("{to: up, name: a b}", 16, "expected up to 64 of"),
        ("{to: up, modles: [a]}", 10, "did you mean models?"),
    ],
)
def test_a_mistake_in_a_route(text: str, column: int, told: str, in_folder: Path) -> None:
    upstreams = "upstreams: [{name: up, url: http://u}, {name: other, url: http://o}]"
    assert_told(f"{upstreams}\nroutes:\n- {text}\n", (3, column + 2), told)


@pytest.mark.parametrize(
    ("first", "second", "taken"),
    [
        ("{to: up}", "{to: up, models: [a]}", True),
        ("{to: up, models: ['*']}", "{to: up, models: [a, 'b*']}", True),
        ("{to: up, models: ['*']}", "{to: up}", False),
        ("{to: up, models: ['a*']}", "{to: up, models: ['ab*c', 'a']}", True),
        ("{to: up, models: ['a*']}", "{to: up, models: ['ab', 'b']}", False),
        ("{to: up, models: ['a*b*']}", "{to: up, models: ['ab*', 'a*b']}", True),
        ("{to: up, models: ['a*b*']}", "{to: up, models: ['a*']}", False),
        ("{to: up, path: /v1/*}", "{to: up, path: /v1/models, models: [a]}", True),
        ("{to: up, path: /v1/*}", "{to: up, models: [a]}", False),
        ("{to: up, headers: {x: a*}}", "{to: up, headers: {X: ab, y: z}}", True),
        ("{to: up, headers: {x: a}}", "{to: up}", False),
        ("{to: up, stream: on}", "{to: up, stream: on, models: [a]}", True),
        ("{to: up, stream: on}", "{to: up, models: [a]}", False),
        ("{to: up, without: [a]}", "{to: up, without: [a, b]}", True),
        ("{to: up, without: [a, b]}", "{to: up, without: [a]}", False),
        ("{to: up, models: [a, b]}", "{to: up, models: {a: x, b: y}}", True),
        ("{to: up, models: [a]}", "{to: up, models: {a: x, b: y}}", False),
    ],
)
def test_a_route_that_no_request_reaches_is_a_mistake(
    first: str, second: str, taken: bool, in_folder: Path
) -> None:
    text = f"upstreams: [{UPSTREAM}]\nroutes:\n- {first}\n- {second}\n"
    if taken:
        assert_told(text, (4, 3), "no request reaches this route: the one in line 3 takes them all")
    else:
        assert len(settings_of(text).routes) >= 2


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("api_key: sk-ant-0123456789, ordr: 1", "did you mean order?"),
        ("apikey: 0123456789", "did you mean api_key?"),
        ("api_key: 5550123456789", "put it in quotes"),
        ("api_key: '0123456789 '", "expected visible ASCII characters"),
        ("headers: {x-api-key: 5550123456789}", "put it in quotes"),
        ("headers: {x-team: 5, authorization: Bearer 0123456789}", "put it in quotes"),
        ("headers: {x-team: 5, authorization: 0123456789}", "put it in quotes"),
        ("order: ${SECRET}", "count"),
        ("weight: x${SECRET}", "count"),
    ],
)
def test_no_key_is_shown(key: str, told: str, in_folder: Path) -> None:
    text = f"upstreams:\n- {{url: http://h, {key}}}\n"
    [problem] = problems_of(text, {"SECRET": "0123456789"})
    assert told in str(problem)
    assert "0123456789" not in str(problem)


def test_what_is_wrong_with_a_value_that_could_not_be_read_is_told_once(in_folder: Path) -> None:
    [problem] = problems_of(f"upstreams: [{UPSTREAM}]\nretry: {{pause: 10s, longest_pause: 20}}\n")
    assert "20 has no unit" in problem.message
    [problem] = problems_of("upstreams: [{name: up, url: oops}]\nroutes: [{to: up}]\nkeys: {verifier: up}\n")
    assert "oops" in problem.message


def test_a_file_that_is_not_there_is_told(in_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"gone.yaml: there is no such file"):
        settings_of(None, ["-c", "gone.yaml"])


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "workers: 1\n"])
def test_a_file_that_leads_nowhere_is_told(text: str, in_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"^relay.yaml: nothing says where requests go; give --upstream"):
        settings_of(text)
    assert settings_of(text, ["--upstream", "http://a"]) == settings_of(None, ["--upstream", "http://a"])


def assert_told(text: str, place: tuple[int, int], told: str, *, with_upstream: bool = False) -> None:
    """One problem, there. An upstream comes from a flag where the text has none."""
    flags = ["--upstream", "http://u name=up"] if with_upstream and "upstreams" not in text else []
    problems = problems_of(text, flags=flags)
    assert [(problem.place.line, problem.place.column) for problem in problems] == [place], problems
    assert told in problems[0].message
    assert "\n" not in problems[0].message
