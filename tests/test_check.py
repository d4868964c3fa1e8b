"""``relay check``: what it prints, where, and the code with which it ends."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from relay import cli
from relay.cli import check
from tests.settings.kit import in_folder

__all__ = ["in_folder"]

GOOD = "upstreams: [{name: up, url: http://u}]\ntimeouts: {idle: 5s}\n"


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, in_folder: Path):
    monkeypatch.delenv("RELAY_CONFIG", raising=False)

    def run(*args: str, text: str | None = None) -> Ran:
        if text is not None:
            (in_folder / "relay.yaml").write_text(text)
        code = cli.main(["check", *args])
        return Ran(code, *capsys.readouterr())

    return run


# --- fine, or not -----------------------------------------------------------------------------


def test_a_file_that_is_fine_is_said_to_be_fine(run) -> None:
    ran = run("relay.yaml", text=GOOD)
    assert (ran.code, ran.out, ran.err) == (0, "relay.yaml is fine: 1 upstream, 0 routes\n", "")


def test_problems_are_the_result_and_their_number_the_narration(run) -> None:
    ran = run("relay.yaml", text=GOOD + "wrokers: 1\nrepair: 5\n")
    assert ran.code == 2
    assert ran.out.splitlines()[0] == "relay.yaml:3:1: the file has no 'wrokers'; did you mean workers?"
    assert len(ran.out.splitlines()) == 6
    assert ran.err == "relay: 2 problems\n"
    assert "\x1b" not in ran.out


def test_flags_and_variables_are_heard_as_relay_serve_hears_them(run, monkeypatch) -> None:
    monkeypatch.setenv("RELAY_REPAIR", "off")
    ran = run("relay.yaml", "--continue", text=GOOD)
    assert ran.code == 2
    assert ran.out.startswith("--continue: not with repair off")
    monkeypatch.setenv("RELAY_CONFIG", "relay.yaml")
    monkeypatch.setenv("RELAY_REPAIR", "on")
    assert run().out == "relay.yaml is fine: 1 upstream, 0 routes\n"
    assert run("-c", "relay.yaml").code == 0
    assert run("relay.yaml", "-c", "other.yaml").code == 2


def test_without_anything_it_says_what_is_missing(run) -> None:
    ran = run()
    assert ran.code == 2
    assert ran.out.startswith("nothing says where requests go; give --upstream URL, -c relay.yaml")
    assert run("--upstream", "http://a").out == "fine: 1 upstream, 0 routes\n"


def test_a_wrong_flag_is_one_line_on_stderr(run) -> None:
    ran = run("relay.yaml", "--timeout", "idle=5", text=GOOD)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("relay: --timeout idle=5: duration '5'")


def test_warnings_are_narration(run) -> None:
    ran = run("relay.yaml", text=GOOD + "routes: [{to: up}]\n" + "listen: ':80'\n")
    assert ran.err == ""
    text = "upstreams: [{name: up, url: http://u}, {name: no, url: http://n}]\nroutes: [{to: up}]\n"
    text = text.replace("name: no", "name: spare")
    ran = run("relay.yaml", text=text)
    assert ran.code == 0
    assert ran.err == "relay: warning: relay.yaml:1:47: no route leads to spare\n"


def test_what_litellms_file_makes_is_told_in_a_line_for_each_model(run, in_folder: Path) -> None:
    (in_folder / "config.yaml").write_text(
        "model_list:\n- {model_name: gpt, litellm_params: {model: openai/gpt-4o, api_key: k}}\n"
    )
    ran = run("--litellm", "config.yaml")
    assert ran.code == 0
    assert "gpt" in ran.out.splitlines()[0]


# --- as a table, as JSON, as a schema ---------------------------------------------------------


def test_every_value_is_shown_with_its_origin(run) -> None:
    ran = run("relay.yaml", "--show", "--workers", "2", text=GOOD)
    rows = [re.split(r"\s{2,}", line) for line in ran.out.splitlines()]
    assert all(len(row) == 3 for row in rows)
    table = {path: (value, origin) for path, value, origin in rows}
    assert table["timeouts.idle"] == ("5s", "relay.yaml:2:18")
    assert table["workers"] == ("2", "--workers")
    assert table["upstreams[up].url"] == ("http://u", "relay.yaml:1:29")
    assert table["repair"] == ("on", "default")
    columns = {
        line.index(row[2], line.index(row[1])) for line, row in zip(ran.out.splitlines(), rows, strict=True)
    }
    assert len(columns) == 1


def test_json_is_for_programs(run) -> None:
    ran = run("relay.yaml", "--json", "--show", text=GOOD)
    document = json.loads(ran.out)
    assert document["ok"] is True
    assert document["settings"]["timeouts.idle"] == {"value": "5s", "origin": "relay.yaml:2:18"}
    ran = run("relay.yaml", "--json", text=GOOD + "repair: 5\n")
    document = json.loads(ran.out)
    assert (ran.code, document["ok"]) == (2, False)
    [problem] = document["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("relay.yaml", 3, 9)
    assert "expected on, report, off" in problem["message"]


def test_the_schema_needs_no_file(run) -> None:
    assert json.loads(run("--schema").out)["$defs"]["File"]["additionalProperties"] is False


SECRET = "sk-verysecret01"


@pytest.mark.parametrize("flags", [["--show"], ["--json", "--show"], []])
@pytest.mark.parametrize("more", ["", "wrokers: 1\n", "keys: {accept: [sk-verysecret01], verifer: x}\n"])
def test_no_key_is_printed(flags: list[str], more: str, run) -> None:
    text = f"upstreams: [{{name: up, url: http://u, api_key: {SECRET}, headers: {{x: {SECRET}}}}}]\n"
    ran = run("relay.yaml", *flags, text=f"{text}spend: {{webhook: http://w, token: {SECRET}}}\n{more}")
    assert SECRET not in ran.out + ran.err


def test_colour_is_for_terminals_and_not_where_it_is_not_wanted(run, monkeypatch) -> None:
    monkeypatch.setattr(check.sys.stdout.__class__, "isatty", lambda self: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31m^^^" in run("relay.yaml", text=GOOD + "repair: 500\n").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("relay.yaml").out


# --- --reach ----------------------------------------------------------------------------------


class Upstream(BaseHTTPRequestHandler):
    """Has two models for whoever brings the key."""

    paths: ClassVar[dict[str, int]] = {}

    def do_GET(self) -> None:
        keys = (self.headers.get("authorization"), self.headers.get("x-api-key"))
        status = self.paths.get(self.path.partition("?")[0], 404)
        if status == 200 and not {"Bearer good", "good"} & set(keys):
            status = 401
        body = json.dumps({"data": [{"id": "a"}, {"id": "b"}]} if status == 200 else {}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def upstream(**paths: int) -> Iterator[str]:
    handler = type(
        "Handler",
        (Upstream,),
        {"paths": {f"/{path}".replace("__", "/"): status for path, status in paths.items()}},
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize(
    ("entry", "told", "code"),
    [
        ("url: URL, api_key: good", r"200, 2 models, \d+ ms", 0),
        ("url: URL, api_key: good, dialects: [messages]", r"200, 2 models, \d+ ms", 0),
        ("base_url: URL/v1, api_key: good", r"200, 2 models, \d+ ms", 0),
        ("url: URL, api_key: sk-wrong-key", r"401: it refuses the key that it is given, \d+ ms", 2),
        ("url: URL", r"401: it answers, and wants a key, which clients must bring, \d+ ms", 0),
        ("url: URL/other, api_key: good", r"404, no list of models, \d+ ms", 0),
        ("url: URL/other, api_key: good, health: /health", r"503: it answers that it is unwell, \d+ ms", 3),
        ("url: 'http://127.0.0.1:PORT'", r"cannot be reached: cannot connect to http://127.0.0.1:\d+: .*", 3),
        ("url: unix:/nowhere.sock", r"cannot be reached: cannot connect to unix:/nowhere.sock: .*", 3),
    ],
)
def test_each_upstream_is_asked(entry: str, told: str, code: int, run) -> None:
    with upstream(v1__models=200, health=503) as url:
        entry = entry.replace("URL", url).replace("PORT", str(closed_port()))
        text = f"upstreams: [{{name: up, {entry}}}]\n"
        ran = run("relay.yaml", "--reach", text=text)
        assert re.fullmatch(rf"up  {told}\n", ran.out), ran.out
        assert ran.code == code
        document = json.loads(run("relay.yaml", "--reach", "--json").out)
    assert document["ok"] is (code == 0)
    assert document["reach"][0]["upstream"] == "up"
    assert "sk-wrong-key" not in ran.out + ran.err + json.dumps(document)


def test_all_are_asked_and_the_worst_counts(run) -> None:
    with upstream(v1__models=200) as url:
        text = (
            f"upstreams: [{{name: a, url: '{url}', api_key: good}},"
            f" {{name: bee, url: '{url}', api_key: no-key}},"
            f" {{name: c, url: 'http://127.0.0.1:{closed_port()}'}}]"
        )
        ran = run("relay.yaml", "--reach", text=text)
    assert [line[:5].strip() for line in ran.out.splitlines()] == ["a", "bee", "c"]
    assert ran.code == 3


def test_the_help_fits_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["check", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("usage: relay check [FILE]")
