"""Secrets in files: one alone or one a line, refused with a reason, never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relay.source.problems import Place, Problem
from relay.source.secrets import Key, from_file, listed, located


class Told:
    """What is read of a file that the configuration in this folder names."""

    def __init__(self, folder: Path, environ: dict[str, str] | None = None) -> None:
        self.place = Place(str(folder / "relay.yaml"), 4, 13, "  key_file: x", 1)
        self.environ = environ or {}
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def secret(self, name: str) -> str | None:
        return from_file(name, self.place, self.environ, self.problems, self.warnings)

    def keys(self, name: str) -> list[Key]:
        return listed(name, self.place, self.environ, self.problems, self.warnings)

    @property
    def message(self) -> str:
        [problem] = self.problems
        assert "planted" not in str(problem) + repr(problem)
        return problem.message


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def put(path: Path, data: bytes, mode: int = 0o600) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


# --- one --------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"sk-1", b"sk-1\n", b"\xef\xbb\xbfsk-1\r\n", b"\n  sk-1 \n\n"])
def test_white_space_is_no_part_of_a_secret(data: bytes, tmp_path: Path, told: Told) -> None:
    put(tmp_path / "key", data)
    assert told.secret("key") == "sk-1"
    assert told.problems == told.warnings == []


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"planted\nsecret\n", "it has several lines; expected one secret alone"),
        (b"planted secret", "a secret is made of visible ASCII characters, without blanks inside"),
        ("planted-é".encode(), "a secret is made of visible ASCII characters, without blanks inside"),
        (b"planted\x00", "a secret is made of visible ASCII characters, without blanks inside"),
        (b"planted\xe9", "it is no text"),
        (b"planted-" * 8193, "it is larger than 64 KiB"),
    ],
)
def test_what_is_no_secret_is_refused_and_not_shown(
    data: bytes, why: str, tmp_path: Path, told: Told
) -> None:
    put(tmp_path / "key", data)
    assert told.secret("key") is None
    assert told.message == f"{tmp_path}/key: {why}"
    assert told.problems[0].place == told.place


def test_the_largest_secret(tmp_path: Path, told: Told) -> None:
    put(tmp_path / "key", b"x" * (64 << 10))
    assert told.secret("key") == "x" * (64 << 10)


def test_a_file_that_is_not_there(tmp_path: Path, told: Told) -> None:
    assert told.secret("key") is None
    assert told.message == f"{tmp_path}/key: there is no such file"


def test_a_pipe_is_not_waited_for(tmp_path: Path, told: Told) -> None:
    os.mkfifo(tmp_path / "key")
    assert told.secret("key") is None
    assert told.message.endswith("it is empty")


@pytest.mark.parametrize("name", ["", "a\nb", "\0"])
def test_what_is_no_path(name: str, told: Told) -> None:
    assert told.secret(name) is None
    assert told.message == "expected the path of a file, or credential:NAME"


# --- where ------------------------------------------------------------------------------------


def test_a_path_begins_at_the_folder_of_the_configuration(tmp_path: Path, told: Told) -> None:
    put(tmp_path / "keys" / "a", b"sk-1")
    assert told.secret("keys/a") == "sk-1"
    assert told.secret(str(tmp_path / "keys" / "a")) == "sk-1"
    assert located("keys/a", told.place, {}) == f"{tmp_path}/keys/a"
    assert located("/run/key", told.place, {}) == "/run/key"


def test_credentials_of_systemd(tmp_path: Path) -> None:
    told = Told(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path / "given")})
    put(tmp_path / "given" / "key", b"sk-given\n", 0o444)
    put(tmp_path / "key", b"sk-beside")
    put(tmp_path / "other", b"sk-other")
    assert told.secret("credential:key") == "sk-given"
    assert told.secret("key") == "sk-given"
    assert told.secret("./key") == "sk-beside"
    assert told.secret("other") == "sk-other"
    assert told.problems == told.warnings == []
    assert told.secret("credential:other") is None
    assert told.message == f"{tmp_path}/given/other: there is no such file"


@pytest.mark.parametrize(
    "name", ["credential:", "credential:../key", "credential:..", "credential:/etc/passwd"]
)
def test_a_credential_is_a_name(name: str, tmp_path: Path) -> None:
    told = Told(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert told.secret(name) is None
    assert told.message == "expected credential:NAME, without a slash"


def test_without_systemd_there_are_no_credentials(told: Told) -> None:
    assert told.secret("credential:key") is None
    assert told.message.startswith("there are no credentials: the unit needs LoadCredential=")
    assert located("credential:key", told.place, {}) == ""


# --- warnings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_that_everybody_may_read(mode: int, warned: bool, tmp_path: Path, told: Told) -> None:
    put(tmp_path / "key", b"planted", mode)
    assert told.secret("key") == "planted"
    said = [str(warning) for warning in told.warnings]
    assert [f"chmod 600 {tmp_path}/key" in text for text in said] == [True] * warned
    assert "planted" not in "".join(said)


# --- lists ------------------------------------------------------------------------------------


def test_a_list_has_one_a_line(tmp_path: Path, told: Told) -> None:
    put(tmp_path / "keys", b"# team a\nk1\n\n k2 # old\r\nk#3\nk1\nsha256:00ff\n")
    found = told.keys("keys")
    assert [key.text for key in found] == ["k1", "k2", "k#3", "sha256:00ff"]
    assert [key.place.line for key in found] == [2, 4, 5, 7]
    assert told.problems == []
    assert "k1" not in repr(found)


def test_a_list_without_keys_is_a_mistake(tmp_path: Path, told: Told) -> None:
    put(tmp_path / "keys", b"# nobody\n")
    assert told.keys("keys") == []
    assert told.message == f"{tmp_path}/keys: it holds no key"


def test_each_line_that_is_no_key_is_told_without_being_shown(tmp_path: Path, told: Told) -> None:
    put(tmp_path / "keys", "planted one\nk2\nplanted-é\n".encode())
    assert [key.text for key in told.keys("keys")] == ["k2"]
    assert [str(problem) for problem in told.problems] == [
        f"{tmp_path}/keys:{line}:1: a key is made of visible ASCII characters; one stands in each line"
        for line in (1, 3)
    ]
