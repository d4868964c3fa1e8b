"""Steps of a case played on a socket, by whichever side; every wait has an end."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time

from .cases import End, Flood, Pause, Step, Trickle

LIMIT = 4.0
"""Seconds after which a wait is a hang; every limit that the proxies are given is well below."""


def play(sock: socket.socket, steps: tuple[Step, ...]) -> bool:
    """All steps; False when the connection is over for us. What the other side has closed ends it."""
    sock.settimeout(LIMIT)
    try:
        return all(_play_one(sock, step) for step in steps)
    except OSError:
        return False


def speaks(sock: socket.socket, seconds: float) -> bool:
    """Something can be read, an end included, or soon can."""
    return bool(select.select([sock], [], [], seconds)[0])


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _play_one(sock: socket.socket, step: Step) -> bool:
    match step:
        case bytes():
            sock.sendall(step)
        case Pause():
            speaks(sock, step.seconds)
        case Trickle():
            for at in range(len(step.data)):
                if speaks(sock, step.every):
                    break
                sock.sendall(step.data[at : at + 1])
        case Flood():
            return _flood(sock, step)
        case End():
            return _end(sock, step.how)
    return True


def _flood(sock: socket.socket, flood: Flood) -> bool:
    limit = time.monotonic() + LIMIT
    for _ in range(flood.times):
        if time.monotonic() > limit:
            break
        sock.sendall(flood.data)
    return True


def _end(sock: socket.socket, how: str) -> bool:
    if how == "reset":
        reset(sock)
    elif how == "close":
        sock.close()
    elif how == "half":
        sock.shutdown(socket.SHUT_WR)
        return True
    else:  # hold: until the other side has closed
        limit = time.monotonic() + LIMIT
        while (left := limit - time.monotonic()) > 0 and speaks(sock, left):
            if not sock.recv(65536):
                break
    return False
