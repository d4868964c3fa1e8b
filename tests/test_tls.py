"""The two contexts: what they allow, and what is said about files that cannot be used."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from relay.config import Settings, Tls, Upstream
from relay.errors import UsageError
from relay.tls import listening_context, upstream_context

ENCRYPTED = "-----BEGIN ENCRYPTED PRIVATE KEY-----"


class Files:
    """A certificate, its key, another's key, and an authority, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority = trustme.CA()
        leaf, other = authority.issue_cert("localhost"), authority.issue_cert("other.test")
        self.cert = self.write("cert.pem", b"".join(part.bytes() for part in leaf.cert_chain_pems))
        self.key = self.write("key.pem", leaf.private_key_pem.bytes())
        self.other_key = self.write("other.pem", other.private_key_pem.bytes())
        self.ca = self.write("ca.pem", authority.cert_pem.bytes())

    def write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


# --- towards clients --------------------------------------------------------------------------


def test_modern_defaults(files: Files) -> None:
    context = listening_context(Tls(files.cert, files.key))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    ciphers = context.get_ciphers()
    assert all(cipher["aead"] for cipher in ciphers)
    assert all(cipher["protocol"] == "TLSv1.3" or "ECDHE" in cipher["name"] for cipher in ciphers)


def test_one_file_may_hold_both(files: Files) -> None:
    both = files.write("both.pem", Path(files.key).read_bytes() + Path(files.cert).read_bytes())
    listening_context(Tls(both, both))
    listening_context(Tls(both, ""))


def test_client_certificates_are_required_when_there_is_an_authority(files: Files) -> None:
    context = listening_context(Tls(files.cert, files.key, files.ca))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1


def encrypted(files: Files) -> str:
    path = files.write("encrypted.pem", b"")
    command = ["openssl", "pkcs8", "-topk8", "-in", files.key, "-out", path, "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    assert ENCRYPTED in Path(path).read_text()
    return path


def small(files: Files) -> str:
    path = files.write("small.pem", b"")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:1024",
        "-nodes",
        "-keyout",
        path + ".key",
        "-out",
        path,
    ]
    subprocess.run([*command, "-subj", "/CN=localhost"], check=True, capture_output=True, timeout=20)
    Path(path).write_bytes(Path(path).read_bytes() + Path(path + ".key").read_bytes())
    return path


def damaged(files: Files) -> str:
    lines = Path(files.cert).read_bytes().splitlines(keepends=True)
    return files.write("damaged.pem", b"".join([lines[0], *lines[2:]]))


def beyond(files: Files, name: str) -> str:
    return str(files.folder / "none" / name)


FAULTS: dict[str, tuple[Callable[[Files], Tls], str]] = {
    "no certificate file": (lambda f: Tls(beyond(f, "c"), f.key), "certificate {none}/c: .*No such file"),
    "no key file": (lambda f: Tls(f.cert, beyond(f, "k")), "key {none}/k: .*No such file"),
    "no authority file": (lambda f: Tls(f.cert, f.key, beyond(f, "a")), "client CA {none}/a: .*No such file"),
    "a folder": (lambda f: Tls(str(f.folder), f.key), "certificate {folder}: .*directory"),
    "no PEM": (lambda f: Tls(f.write("x", b"\x30\x82"), f.key), "certificate {folder}/x: no PEM certificate"),
    "empty": (lambda f: Tls(f.write("e", b""), f.key), "certificate {folder}/e: no PEM certificate"),
    "swapped": (lambda f: Tls(f.key, f.cert), "certificate {folder}/key.pem: no PEM certificate"),
    "no key in it": (lambda f: Tls(f.cert, f.cert), "key {folder}/cert.pem: no PEM private key"),
    "no key given": (lambda f: Tls(f.cert, ""), "key {folder}/cert.pem: no PEM private key"),
    "another's key": (
        lambda f: Tls(f.cert, f.other_key),
        "key {folder}/other.pem: it does not belong to the certificate {folder}/cert.pem",
    ),
    "an encrypted key": (lambda f: Tls(f.cert, encrypted(f)), "key {folder}/encrypted.pem: it is encrypted"),
    "a damaged certificate": (lambda f: Tls(damaged(f), f.key), "certificate {folder}/damaged.pem .*"),
    "a key too small": (lambda f: Tls(small(f), ""), "{folder}/small.pem .*too small"),
    "an authority without certificates": (
        lambda f: Tls(f.cert, f.key, f.key),
        "client CA {folder}/key.pem: no PEM certificate",
    ),
    "a damaged authority": (lambda f: Tls(f.cert, f.key, damaged(f)), "client CA {folder}/damaged.pem: .*"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_used_is_named_with_its_fault(files: Files, fault: str) -> None:
    make, said = FAULTS[fault]
    with pytest.raises(
        UsageError, match=said.format(none=files.folder / "none", folder=files.folder)
    ) as caught:
        listening_context(make(files))
    assert "\n" not in str(caught.value)


def test_a_key_that_may_not_be_read(files: Files) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read anything")
    locked = files.write("locked.pem", Path(files.key).read_bytes())
    os.chmod(locked, 0)
    with pytest.raises(UsageError, match=r"key .*locked\.pem: .*Permission denied"):
        listening_context(Tls(files.cert, locked))


# --- towards upstreams ------------------------------------------------------------------------


def settings(*urls: str) -> Settings:
    return Settings(upstreams=tuple(map(Upstream.parse, urls)))


def test_without_tls_upstreams_no_roots_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    assert upstream_context(settings("http://127.0.0.1", "unix:/run/x.sock")) is None


@pytest.mark.parametrize(
    "urls", [("https://one.test",), ("http://one.test", "https://two.test")], ids=["only", "second"]
)
def test_upstreams_are_verified_as_soon_as_one_speaks_tls(urls: tuple[str, ...]) -> None:
    context = upstream_context(settings(*urls))
    assert context is not None
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_the_roots_may_be_a_file(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", files.ca)
    context = upstream_context(settings("https://one.test"))
    assert context is not None
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_roots_that_cannot_be_read(
    files: Files, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = beyond(files, "roots") if content is None else files.write("roots.pem", content)
    monkeypatch.setenv("SSL_CERT_FILE", path)
    with pytest.raises(UsageError, match=f"SSL_CERT_FILE={path}: cannot read certificates"):
        upstream_context(settings("https://one.test"))
