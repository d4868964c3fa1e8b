"""TLS on both sides: how upstreams are verified, and what relay shows to its own clients."""

from __future__ import annotations

import os
import ssl
from typing import Any, cast

from relay.config import Settings, Tls
from relay.errors import UsageError

_ALPN = ["http/1.1"]

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only. Those of TLS 1.3 are all such."""

_NOT_HTTPS = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 41\r\nconnection: close\r\n\r\n"
    b"this port speaks TLS: use https, not http"
)


def upstream_context(settings: Settings) -> ssl.SSLContext | None:
    """How upstreams are verified: the system's roots, or those of ``SSL_CERT_FILE``; None: none uses TLS."""
    webhook = settings.spend.webhook.startswith("https:")
    if not webhook and not any(upstream.origin.tls for upstream in settings.upstreams):
        return None
    roots = os.environ.get("SSL_CERT_FILE") or None
    try:
        context = ssl.create_default_context(cafile=roots)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or error
        raise UsageError(f"SSL_CERT_FILE={roots}: cannot read certificates: {reason}") from error
    context.set_alpn_protocols(_ALPN)
    return context


def listening_context(tls: Tls) -> ssl.SSLContext:
    """What clients get: TLS 1.2 or 1.3, and with ``client_ca`` they must show a certificate too.

    UsageError names the file that cannot be used, and why.
    """
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(_ALPN)
    _load_certificate(context, tls.cert, tls.key or tls.cert)
    if tls.client_ca:
        _load_authority(context, tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load_certificate(context: ssl.SSLContext, cert: str, key: str) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in _read(cert, "certificate"):
        raise UsageError(f"TLS certificate {cert}: no PEM certificate in it")
    if b"PRIVATE KEY-----" not in _read(key, "key"):
        raise UsageError(f"TLS key {key}: no PEM private key in it")

    def passphrase() -> str:
        raise UsageError(f"TLS key {key}: it is encrypted; relay needs one without a passphrase")

    try:
        context.load_cert_chain(cert, key, passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"TLS key {key}: it does not belong to the certificate {cert}") from error
        raise UsageError(f"TLS certificate {cert} with key {key}: {_fault(error)}") from error


def _load_authority(context: ssl.SSLContext, path: str) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in _read(path, "client CA"):
        raise UsageError(f"TLS client CA {path}: no PEM certificate in it")
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise UsageError(f"TLS client CA {path}: {_fault(error)}") from error


def _read(path: str, what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"TLS {what} {path}: cannot read it: {error.strerror}") from error


def _fault(error: ssl.SSLError) -> str:
    """OpenSSL's word for it; where its PEM reader gives up, it has none."""
    return (error.reason or "it is damaged").replace("_", " ").lower()


class _Outspoken(ssl.SSLObject):
    """A server's side that tells the peer why its handshake failed.

    uvloop closes on the error, and the alert that OpenSSL has written stays behind: a client then sees an
    end of file where it should read "certificate required". So the error is put off while there is
    something to send. Wanting to read makes uvloop send it; what comes next, be it only the peer's
    end, or the handshake's time limit, ends the connection.
    """

    outgoing: ssl.MemoryBIO
    _failed: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failed is not None:
            raise self._failed
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if error.reason == "HTTP_REQUEST":
                self.outgoing.read()
                self.outgoing.write(_NOT_HTTPS)
            if not self.outgoing.pending:
                raise
            self._failed = error
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "an alert waits to be sent") from error


class _Context(ssl.SSLContext):
    """Its sessions know where their bytes wait to be sent."""

    sslobject_class = _Outspoken

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **named: Any
    ) -> _Outspoken:
        session = cast(_Outspoken, super().wrap_bio(incoming, outgoing, *args, **named))
        session.outgoing = outgoing
        return session
