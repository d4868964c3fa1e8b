"""One worker that may have few descriptors, as a process: ``accepting_worker.py UPSTREAM DESCRIPTORS``.

It says its port, serves until it is killed, and complains on stderr as relay does.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import sys

import uvloop

from relay.address import ListenAddress
from relay.config import Limits, Retry, Settings, Upstream
from relay.listen import bind
from relay.net.accepting import Acceptor
from relay.net.hangup import Hangups
from relay.net.pool import Pool
from relay.net.relay import Relay


async def serve(url: str) -> None:
    loop = asyncio.get_running_loop()
    settings = Settings(
        upstreams=(Upstream.parse(url),), limits=Limits(connections=100_000), retry=Retry(attempts=1)
    )
    relay = Relay(loop, settings, Pool(loop, settings, None), Hangups(loop))
    sock = bind(ListenAddress("127.0.0.1", 0))
    await Acceptor(relay, sock, None).start()
    print(sock.getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, format="relay: %(message)s", level=logging.WARNING)
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)
    uvloop.run(serve(sys.argv[1]))
