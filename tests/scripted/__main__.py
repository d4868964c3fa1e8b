"""``python -m tests.scripted --dialect chat --port 8000 --scenario shell --log requests.jsonl``

Says ``listening on http://127.0.0.1:PORT`` on stderr once it accepts. The log has one JSON document a line
for every request: number, method, path, headers, body, and why it was refused (or null).
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from .scenarios import SCENARIOS
from .server import DIALECTS, Server


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.scripted", description=__doc__)
    parser.add_argument("--dialect", choices=DIALECTS, default="chat")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--scenario", choices=SCENARIOS, default="shell")
    parser.add_argument("--command", default="echo relay-$((6*7))", help="what the shell scenarios run")
    parser.add_argument("--file", default="scripted.txt", help="what the patch scenario adds")
    parser.add_argument("--key", help="the API key to demand")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds between two frames")
    parser.add_argument("--log", type=Path, help="where requests are written down")
    parser.add_argument("--reasoning-field", default="reasoning", help="chat: reasoning or reasoning_content")
    arguments = parser.parse_args()
    manner = {"reasoning_field": arguments.reasoning_field} if arguments.dialect == "chat" else {}
    scenario = SCENARIOS[arguments.scenario](arguments.command, arguments.file)
    server = Server(
        arguments.dialect,
        scenario,
        port=arguments.port,
        key=arguments.key,
        delay=arguments.delay,
        log=arguments.log,
        **manner,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with server:
        print(f"listening on {server.url}", file=sys.stderr, flush=True)
        server.thread.join()


if __name__ == "__main__":
    main()
