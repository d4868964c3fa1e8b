"""Continuation with a real vLLM: an answer cut after any of its frames goes on to the same last character.

    python -m tests.live.continuation [--template trims] [--whole] [--few] [--quiet]

A tiny model that knows a few answers by heart is made and served on the CPU by vLLM, once with a chat
template that keeps white space and once with one that trims it, greedily decoded. Each answer is cut after
each of its frames, and what relay asks is asked of the server: the text must be that of the uncut answer.

The model has only ever seen its answers cut into pieces as its vocabulary cuts them. Where a template takes
the line end from a full stop with a line end, which is one piece, the model is lost. So with a template
that trims, what was cut in white space must lose and repeat no character, and all else must agree.

With ``--whole`` the same goes through ``relay serve`` too, which has two upstreams, the first of which is
cut, for clients of each dialect.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.continuing import Relayed
from tests.dialects.drive import events
from tests.translated import told

from . import continuation_model
from . import model_servers_setup as setup
from .continuation_model import ANSWERS, TEMPLATES
from .model_servers_run import Kind, Server, ask, free_port, process, read, serving, unchunked

MAKING = 300
FLAGS = (
    *("--served-model-name", "tiny", "--enforce-eager", "--dtype", "float32", "--max-model-len", "4096"),
    *("--max-num-seqs", "4", "--disable-uvicorn-access-log", "--reasoning-parser", "qwen3"),
    *("--default-chat-template-kwargs", '{"enable_thinking": false}'),
)
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
FEW = 7
"""Every so many frames only, where time counts."""


@dataclass
class Tally:
    """What one row of the table counts."""

    name: str
    cuts: int = 0
    agreed: int = 0
    refused: int = 0
    in_space: int = 0
    faults: list[str] = field(default_factory=list)


def asked(name: str, **more: Any) -> dict[str, Any]:
    return {
        "model": "tiny",
        "messages": [{"role": "user", "content": name}],
        "stream": True,
        "temperature": 0,
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"enable_thinking": name == "think"},
        **more,
    }


async def frames(server: Server, request: dict[str, Any]) -> list[bytes]:
    """The server's own answer."""
    status, body = await ask(server.url, "POST", PATHS["chat"], request)
    assert status == 200, body[:300]
    return [frame + b"\n\n" for frame in body.split(b"\n\n") if frame]


def cuts_of(stream: list[bytes], *, few: bool) -> Iterator[int]:
    """After each frame with something in it, the last of which does not finish the answer."""
    for cut in range(2, len(stream)):
        if b'"finish_reason":"' in stream[cut - 1]:
            return
        if not few or cut % FEW == 2:
            yield cut


async def cut_below(server: Server, name: str, tally: Tally, *, few: bool, **more: Any) -> None:
    """The machine alone, fed with what the server says."""
    request = asked(name, **more)
    stream = await frames(server, request)
    whole = told["chat"](events(b"".join(stream)))
    for cut in cuts_of(stream, few=few):
        first = Relayed(asked=request).run(stream[:cut])
        before = first.tale.text("text")
        obstacle = first.stream.obstacle(first.error) if first.error else ""
        if obstacle:
            if before.strip():
                tally.faults.append(f"{name} after {before[-12:]!r}: {obstacle}")
            continue
        rest = await frames(server, json.loads(first.stream.request()))
        relayed = Relayed(lambda _, rest=rest: rest, asked=request).run(stream[:cut])
        judge(tally, name, before, relayed, whole)


def judge(tally: Tally, name: str, before: str, relayed: Any, whole: Any) -> None:
    tally.cuts += 1
    tale, text = relayed.tale, whole.text("text")
    said = tale.text("text")
    space = before != before.rstrip()
    tally.in_space += space
    if relayed.verdict != "complete":
        tally.refused += 1
        tally.faults.append(f"{name} after {before[-12:]!r}: {tale.error}")
    elif said == text and tale.text("reasoning") == whole.text("reasoning"):
        tally.agreed += 1
        if tally.name.startswith("keeps") and total(tale) != total(whole) and not space:
            tally.faults.append(f"{name} after {before[-12:]!r}: {tale.counts}, not {whole.counts}")
    elif not (tally.name.startswith("trims") and space and said.startswith(before)):
        tally.faults.append(f"{name} after {before[-12:]!r}: {said[len(before) :][:30]!r}")


def total(tale: Any) -> int:
    return int(tale.counts["input"] + tale.counts["output"])


# --- through relay ------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def cutting(server: Server, after: list[int]) -> AsyncIterator[str]:
    """A server of which every stream is cut after ``after[0]`` frames, in the middle of the next."""
    target = int(server.url.rsplit(":", 1)[1])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_upstream = await asyncio.open_connection("127.0.0.1", target)
        forth = asyncio.create_task(pump(reader, to_upstream))
        try:
            came = b""
            while piece := await upstream.read(1 << 16):
                came += piece
                ends = came.split(b"\n\n\r\n")
                if len(ends) > after[0]:
                    came = b"\n\n\r\n".join(ends[: after[0]]) + b"\n\n\r\n" + b"ff\r\ndata: {"
                    writer.write(came)
                    break
            else:
                writer.write(came)
        finally:
            forth.cancel()
            for one in (writer, to_upstream):
                with contextlib.suppress(OSError):
                    await one.drain()
                one.close()

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with proxy:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(1 << 16):
        writer.write(piece)
        await writer.drain()


@contextlib.asynccontextmanager
async def relaying(first: str, second: str, log: Path) -> AsyncIterator[str]:
    port = free_port()
    words = "dialects=chat profile=vllm"
    command = (
        *(sys.executable, "-m", "relay", "serve", "-v", "--continue", "--listen", f"127.0.0.1:{port}"),
        *(
            "--upstream",
            f"{first} name=cut order=1 {words}",
            "--upstream",
            f"{second} name=spare order=2 {words}",
        ),
        *("--health", "failures=1000000"),
    )
    async with process(*command, log=log):
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(OSError):
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"


def question(dialect: str, name: str) -> dict[str, Any]:
    request = asked(name)
    if dialect == "chat":
        return request
    if dialect == "messages":
        return {key: request[key] for key in ("model", "messages", "stream", "temperature")} | {
            "max_tokens": 500
        }
    return {"model": "tiny", "input": name, "stream": True, "temperature": 0}


async def cut_above(server: Server, name: str, tallies: list[Tally], log: Path, *, few: bool) -> None:
    """Through ``relay serve``, for clients of each dialect."""
    count = len(await frames(server, asked(name)))
    after = [0]
    async with cutting(server, after) as first, relaying(first, server.url, log) as relay:
        for dialect, tally in zip(PATHS, tallies, strict=True):
            whole = await tale_of(relay, dialect, name, after, count + 9)
            for cut in range(2, count - 3, FEW if few else 1):
                tale, body = await tale_of(relay, dialect, name, after, cut)
                same = (tale.text("text"), tale.finish) == (whole[0].text("text"), whole[0].finish)
                if same and b"relay continued" not in body:
                    continue  # the server was slow, and sent so few frames that none was cut
                tally.cuts += 1
                tally.refused += tale.error is not None
                if same:
                    tally.agreed += 1
                else:
                    tally.faults.append(f"{name} after {cut}: {tale.error or tale.text('text')!r}")


async def tale_of(relay: str, dialect: str, name: str, after: list[int], cut: int) -> tuple[Any, bytes]:
    after[0] = cut
    raw = b"".join(await read(relay, "POST", PATHS[dialect], question(dialect, name)))
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), raw[:300]
    body = unchunked(body)
    return told[dialect](events(body)), body


# --- all of it ----------------------------------------------------------------------------------


def kind(template: str) -> Kind:
    return Kind(
        "vllm",
        setup.vllm,
        lambda at, model: [at / "bin/vllm", "serve", model / template, *FLAGS],
        profile="vllm",
    )


async def judge_all(arguments: argparse.Namespace) -> list[Tally]:
    tallies: list[Tally] = []
    few = arguments.few
    with tempfile.TemporaryDirectory(prefix="relay-live-") as name:
        model = Path(name)
        python, script = setup.transformers() / "bin" / "python", Path(continuation_model.__file__)
        setup.run(python, script, model, limit=MAKING, log=setup.CACHE / "model.log")
        for template in arguments.template or TEMPLATES:
            log = setup.CACHE / f"continued-{template}.log"
            log.unlink(missing_ok=True)
            async with serving(kind(template), model, log) as server:
                for name in ANSWERS:
                    tallies.append(tally := Tally(f"{template} {name}"))
                    await cut_below(server, name, tally, few=few)
                tallies.append(tally := Tally(f"{template} counted"))
                options = {"include_usage": True, "continuous_usage_stats": True}
                await cut_below(server, "text", tally, few=few, stream_options=options, max_tokens=200)
                if arguments.whole and template == "keeps":
                    rows = [Tally(f"relay serve {dialect}") for dialect in PATHS]
                    tallies += rows
                    await cut_above(server, "text", rows, setup.CACHE / "relay.log", few=few)
    return tallies


def report(tallies: list[Tally], *, quiet: bool) -> int:
    for tally in tallies:
        print(
            f"{tally.name:24} {tally.cuts:4} cuts  {tally.agreed:4} agree  {tally.in_space:3} in white space"
            f"  {tally.refused:3} refused  {len(tally.faults):3} faults"
        )
        for fault in [] if quiet else tally.faults:
            print(f"    {fault}")
    return sum(len(tally.faults) for tally in tallies)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.live.continuation", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--template", action="append", choices=list(TEMPLATES))
    parser.add_argument("--whole", action="store_true", help="through relay serve too")
    parser.add_argument("--few", action="store_true", help="some cuts only")
    parser.add_argument("--quiet", action="store_true", help="the table alone")
    arguments = parser.parse_args(argv)
    try:
        tallies = asyncio.run(judge_all(arguments))
    except setup.Lacking as error:
        print(f"not checked: {error}", file=sys.stderr)
        return 1
    return 1 if report(tallies, quiet=arguments.quiet) or not any(t.cuts for t in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
