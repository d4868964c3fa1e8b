"""The clients of the soak: a number of streams at a time, each judged to the byte when it ends.

Most stay; some are slow, so that relay's and then the upstream's buffers are full; some leave, at any
moment and in every way that a socket knows. A stream that is cut off is reported with its address, for only
whoever killed a worker can say whether it may have been.

It answers one line of JSON on stdout for each line on stdin, and ends when stdin does.
"""

import argparse
import asyncio
import contextlib
import json
import random
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import uvloop
from soak_lag import Lag
from soak_line import READ, Body, Line, Malformed, read_head
from soak_streams import DIALECTS, FAULTS, SILENCES, Script

GUARD = 120.0
"""Seconds after which a stream hangs."""
SHARE = 0.05
"""Of failing upstreams, of leaving clients, of slow ones: each by its own lot, so that all pairs occur."""
SLOW_BYTES = 1024 * 1024
"""Of a stream that a slow client reads: more than all buffers on the way hold."""


@dataclass
class Results:
    """What became of all streams."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    cut: list[dict[str, object]] = field(default_factory=list)
    left: dict[int, float] = field(default_factory=dict)
    slow: list[int] = field(default_factory=list)
    connects: list[float] = field(default_factory=list)
    heads: list[float] = field(default_factory=list)
    repeated: list[dict[str, object]] = field(default_factory=list)
    """Kept connections that turned out to be closed, so that the request was sent again."""
    workers: dict[str, float] = field(default_factory=dict)
    """When each has answered first, by what its ids begin with."""
    kept: int = 0


class Clients:
    """All of them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.random = random.Random(options.seed)
        self.results = Results()
        self.live = 0
        self.number = 0
        self.stopping = False
        self.lag = Lag()

    # Streams.

    def next_script(self) -> Script:
        """Each trouble is drawn by itself."""
        options, draw = self.options, self.random.random
        self.number += 1
        dialect = self.random.choice([*DIALECTS])
        deltas = self.random.randint(5, options.deltas)
        faults = [*FAULTS, *(SILENCES if options.silences else ())]
        fault = self.random.choice(faults) if draw() < SHARE else ""
        if draw() < SHARE:
            if not fault:
                deltas *= 20  # it cannot end before its client leaves
            return Script(self.number, dialect, deltas, options.interval, fault=fault, client="leaves")
        if draw() < SHARE:
            parts = 5 if dialect == "responses" else 1  # which says its text five times
            size = SLOW_BYTES // parts // deltas
            return Script(self.number, dialect, deltas, options.interval, size, fault, "slow")
        return Script(self.number, dialect, deltas, options.interval, fault=fault)

    async def slot(self) -> None:
        """One stream after the other, on a kept connection or a new one."""
        await asyncio.sleep(self.random.uniform(0, self.options.ramp))
        line: Line | None = None
        while not self.stopping:
            script = self.next_script()
            keep = self.random.random() < 0.5 and script.client == "stays"
            if line is not None and (script.client != "stays" or line.reader.at_eof()):
                line.close()
                line = None
            self.live += 1
            try:
                line = await self.attend(script, line, keep=keep)
            finally:
                self.live -= 1
            await asyncio.sleep(self.random.uniform(0, 0.05))
        if line is not None:
            line.close()

    async def attend(self, script: Script, line: Line | None, *, keep: bool) -> Line | None:
        """One stream, and its verdict; returns the connection where that goes on."""
        began = time.monotonic()
        seen = Seen(self, script)
        try:
            async with asyncio.timeout(GUARD):
                if line is not None:
                    self.results.kept += 1
                    answered = await seen.ask(line, keep=keep)
                    if not answered:
                        line.close()
                        again = {"number": script.number, "address": line.address, "worker": line.worker}
                        again |= {"began": began, "ended": time.monotonic()}
                        self.results.repeated.append(again)
                        line = None
                if line is None:
                    calls = time.monotonic()
                    line = await Line.open(self.options.port, slow=script.client == "slow")
                    self.results.connects.append(time.monotonic() - calls)
                    if script.client == "leaves":
                        await seen.leave(line)
                    elif not await seen.ask(line, keep=keep):
                        seen.verdict = "cut"
        except TimeoutError:
            seen.verdict = "hangs"
        except (ConnectionError, asyncio.IncompleteReadError):
            seen.verdict = "no connection" if line is None else "cut"
        except (Malformed, ValueError, LookupError) as error:
            seen.verdict = f"malformed: {error!r}"
        self.judge(script, seen, line, began)
        if line is not None and not (keep and seen.whole):
            line.close()
            return None
        return line

    def judge(self, script: Script, seen: "Seen", line: Line | None, began: float) -> None:
        results = self.results
        if script.client == "slow" and seen.verdict == "whole":
            results.slow.append(script.number)
        expected = [script.expected, *LATITUDE.get(script.fault, ())]
        if script.client == "leaves":
            expected = ["left", *expected] if script.fault else ["left"]
        if seen.verdict == "cut" and line is not None:
            ended = time.monotonic()
            said = {"address": line.address, "began": began, "ended": ended, "sent": seen.sent}
            said["what"] = f"{script}, worker {seen.worker or 'unknown'}, {seen.sent} sent"
            results.cut.append(said)
            return
        kind = script.client if script.client != "stays" else "fault" if script.fault else "plain"
        what = script.fault if kind == "fault" else f"{kind}, {script.fault}" if script.fault else kind
        known = seen.verdict in expected
        results.outcomes[what, seen.verdict if known else "WRONG"] += 1
        if not known:
            results.wrong.append(f"{script}: {seen.verdict}, not {expected[0]}")

    # The run.

    def figures(self) -> dict[str, object]:
        done = sum(self.results.outcomes.values()) + len(self.results.cut)
        return {"live": self.live, "done": done, "wrong": len(self.results.wrong), "lag": self.lag.take()}

    def report(self) -> dict[str, object]:
        results = self.results
        return {
            "outcomes": [[*what, count] for what, count in sorted(results.outcomes.items())],
            "wrong": results.wrong,
            "cut": results.cut,
            "left": list(results.left.items()),
            "slow": results.slow,
            "connects": results.connects,
            "heads": results.heads,
            "repeated": results.repeated,
            "workers": results.workers,
            "kept": results.kept,
        }


LATITUDE = {"announced-error": ("error",)}
"""What has only been announced is held for a moment; when that is over it has begun, and fails aloud."""


class Seen:
    """What one client sees of its stream."""

    def __init__(self, clients: Clients, script: Script) -> None:
        self.clients, self.script = clients, script
        self.verdict = ""
        self.worker = ""
        self.sent = "all"
        """How much of the request, where its client may leave before that."""
        self.whole = False
        """The answer has ended as it should, and the connection may carry another."""

    async def ask(self, line: Line, *, keep: bool) -> bool:
        """Send the request and judge the answer; False when none came at all."""
        began = time.monotonic()
        line.writer.write(self.script.request(keep=keep))
        try:
            head = await line.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise Malformed(f"half a head: {error.partial[:80]!r}") from error
            return False
        except ConnectionError:
            return False
        if not self.script.fault:
            self.clients.results.heads.append(time.monotonic() - began)
        status, fields = read_head(head)
        self.note(line, fields)
        if status != 200:
            body = await line.reader.readexactly(int(fields["content-length"]))
        else:
            read = await self.body(line)
            if read is None:
                return True
            body = read
        self.verdict = self.script.verdict(status, body)
        self.whole = fields.get("connection") != "close"
        if not (keep and self.whole) and (rest := await line.reader.read(READ)):
            self.verdict = f"after the end: {rest[:80]!r}"
        return True

    async def body(self, line: Line) -> bytes | None:
        """All of it; None when it was cut off, and then it is judged."""
        body, reader = Body(), line.reader
        slow, whole = self.script.client == "slow", self.script.deltas * self.script.interval
        if slow:
            await asyncio.sleep(whole / 2)
        while not body.complete:
            try:
                data = await reader.read(READ)
            except ConnectionError:
                data = b""
            if not data:
                so_far = body.so_far()
                legal = self.script.begins(so_far)
                self.verdict = "cut" if legal else f"cut, after other bytes: {so_far[-200:]!r}"
                return None
            body.feed(data)
            if slow:
                await asyncio.sleep(whole / 2 * len(data) / SLOW_BYTES)
        return bytes(body.data)

    def note(self, line: Line, fields: dict[str, str]) -> None:
        """Which worker it is: ids are its own."""
        if "x-relay-id" not in fields:
            return  # a head that was none is refused without
        self.worker = line.worker = fields["x-relay-id"].partition("-")[0]
        self.clients.results.workers.setdefault(self.worker, time.monotonic())

    async def leave(self, line: Line) -> None:
        """At any moment: before the request, within it, before the head, after it, in the stream."""
        dice, script = self.clients.random, self.script
        request = script.request()
        sent = dice.choices([0, dice.randrange(1, len(request)), len(request)], [1, 1, 8])[0]
        line.writer.write(request[:sent])
        self.sent = "nothing" if not sent else "all" if sent == len(request) else "a part"
        if self.sent == "a part" and b"\r\n\r\n" not in request[:sent]:
            self.sent = "half a head"
        self.verdict = "left"
        body = Body()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(dice.uniform(0, script.interval * 15)):
                if dice.random() < 0.1:
                    await asyncio.sleep(GUARD)  # reads nothing
                status, fields = read_head(await line.reader.readuntil(b"\r\n\r\n"))
                self.note(line, fields)
                if status == 408 and sent < len(request):  # it was too slow for the limit
                    return
                if status != 200:
                    said = await line.reader.readexactly(int(fields["content-length"]))
                    self.verdict = script.verdict(status, said)
                    return
                while not body.complete and (data := await line.reader.read(READ)):
                    body.feed(data)
                self.verdict = script.verdict(200, bytes(body.data)) if body.complete else "cut"
                return
        if not script.begins(body.so_far()):
            self.verdict = f"bytes that were not sent: {body.so_far()[-200:]!r}"
        if sent == len(request) and not script.fault:
            self.clients.results.left[script.number] = time.monotonic()
        await self.go(line, dice.choice(["close", "reset", "half"]))

    async def go(self, line: Line, how: str) -> None:
        if how == "reset":
            line.reset()
        elif how == "half":
            line.writer.write_eof()
            with contextlib.suppress(ConnectionError):
                while await line.reader.read(READ):
                    pass
        line.close()


async def converse(clients: Clients) -> None:
    """A line on stdin, a line on stdout: figures, stop, report."""
    loop = asyncio.get_running_loop()
    tasks = [asyncio.ensure_future(clients.slot()) for _ in range(clients.options.streams)]
    watching = asyncio.ensure_future(clients.lag.watch())
    while asked := await loop.run_in_executor(None, sys.stdin.readline):
        if asked == "stop\n":
            clients.stopping = True
            await asyncio.gather(*tasks)
        answer = clients.report() if asked == "report\n" else clients.figures()
        print(json.dumps(answer), flush=True)
    for task in (*tasks, watching):
        task.cancel()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("port", "streams", "deltas", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("interval", "ramp"):
        parser.add_argument(f"--{name}", type=float, required=True)
    parser.add_argument("--silences", action="store_true")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(converse(Clients(parser.parse_args())))


if __name__ == "__main__":
    main()
