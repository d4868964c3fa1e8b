"""The requests both ends agree on.

What a request asks for travels in its prompt, because a relay may refuse or drop a field it does not
know, and must forward that one.
"""

import json
import re
from typing import Any

from frames import SCRIPTS

WANTED = re.compile(rb"bench script=([\w-]+) mode=(\w+) deltas=(\d+) interval_us=(\d+) id=(\d+)")
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


def request(
    mode: str,
    deltas: int,
    interval_us: int,
    ident: int,
    *,
    close: bool = False,
    script: str = "chat",
    dialect: str | None = None,
) -> bytes:
    """The bytes of one request, in another dialect than the script's when the path shall translate.

    Modes: `stream`, `hold` (one delta, then silence), `silent` (no head).
    """
    wanted = f"bench script={script} mode={mode} deltas={deltas} interval_us={interval_us} id={ident}"
    dialect = dialect or SCRIPTS[script].dialect
    document: dict[str, Any] = {"model": "bench", "stream": True}
    if dialect == "responses":
        document["input"] = wanted
    else:
        document["messages"] = [{"role": "user", "content": wanted}]
    if dialect == "messages":
        document["max_tokens"] = 1024
    body = json.dumps(document).encode()
    head = (
        f"POST {PATHS[dialect]} HTTP/1.1\r\nhost: bench.local\r\ncontent-type: application/json\r\n"
        f"accept: text/event-stream\r\nuser-agent: bench\r\ncontent-length: {len(body)}\r\n"
    )
    return (head + ("connection: close\r\n" if close else "") + "\r\n").encode() + body
