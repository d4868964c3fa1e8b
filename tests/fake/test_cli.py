"""``relay fake`` as a process: what it says, where it listens, how it ends."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
import subprocess
import sys

import pytest

from relay.cli import main
from relay.fake.text import DEFAULT_DELTAS

BODY = b'{"model":"m","stream":true,"input":"hi"}'
LIMIT = 20


@contextlib.contextmanager
def fake(*arguments):
    process = subprocess.Popen(
        [sys.executable, "-m", "relay", "fake", *arguments], stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def stream(connection):
    connection.request("POST", "/v1/responses", BODY)
    return connection.getresponse().read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_listens_where_told_says_so_and_ends_when_told(tmp_path, number):
    path = tmp_path / "fake.sock"
    with fake("--listen", "127.0.0.1:0", "--listen", f"unix:{path}", "--rate", "0") as process:
        tcp, unix = process.stderr.readline(), process.stderr.readline()
        wanted = (
            r"relay fake: listening on http://127\.0\.0\.1:(\d+) \(chat, messages, responses\), as fast .*\n"
        )
        port = int(re.fullmatch(wanted, tcp)[1])
        assert f"unix:{path} " in unix
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection:
            assert stream(connection).count(b"event: response.output_text.delta\n") == DEFAULT_DELTAS
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            process.send_signal(number)
            assert process.wait(LIMIT) == 0
        assert not path.exists()
        assert process.stderr.read() == ""


def test_a_running_stream_does_not_hold_it_back():
    with fake("--listen", "127.0.0.1:0", "--rate", "0.001") as process:
        port = int(re.search(r":(\d+) ", process.stderr.readline())[1])
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as sock:
            sock.sendall(
                b"POST /responses HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
            )
            seen = b""
            while b'"delta":"This"' not in seen:
                seen += sock.recv(65536)
            process.terminate()
            assert process.wait(LIMIT) == 0


def test_a_dead_socket_file_is_replaced(tmp_path):
    path = tmp_path / "fake.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with fake("--listen", f"unix:{path}") as process:
        assert "20 deltas/s" in process.stderr.readline()


@pytest.mark.parametrize(
    "arguments",
    [["--rate", "-1"], ["--rate", "nan"], ["--rate", "inf"], ["--deltas", "0"], ["--listen", "8000"]],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(capsys, arguments):
    assert main(["fake", *arguments]) == 2
    assert re.fullmatch(r"relay: .+\n", capsys.readouterr().err)


def test_a_port_in_use_is_one_line_and_exit_code_2(capsys, tmp_path):
    path = tmp_path / "fake.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(socket.AF_UNIX) as held:
        held.bind(str(path))
        held.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["fake", "--listen", where]) == 2
        assert f"cannot listen on {where}: Address already in use" in capsys.readouterr().err
        assert main(["fake", "--listen", f"unix:{path}"]) == 2
        assert "Address already in use" in capsys.readouterr().err
    assert path.exists()
