"""What was found, as Markdown: one table for each seed, versions beside one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from .finding import Finding

TITLES = {
    "1d plain": "Plain streams: no change for the worse",
    "1a nginx gzip": "nginx with `gzip on` and its default buffering in front",
    "1b wildcard": "`openai/*`: the provider is asked without `stream`",
    "1c web search": "`websearch_interception` and a request with web search",
    "2 malformed": "Malformed `/v1/messages` and `/v1/responses`",
    "3 empty tool_calls": "vLLM's `tool_calls: []`, a request like Claude Code's on `/v1/messages`",
    "4 cut": "The provider's stream ends after 3 of 8 deltas: by FIN, by RST, as if it were whole",
    "5 client leaves": "The client leaves in mid-stream, and before the head",
    "5 pool used up": "After ten departures, LiteLLM being allowed ten connections",
    "keys": "Keys",
    "429": "A 429 with `Retry-After: 7`, LiteLLM's retries off",
    "429, LiteLLM's retries": "The same with LiteLLM's own defaults",
}


def tables(found: list[Finding]) -> str:
    versions = list(dict.fromkeys(one.version for one in found))
    return "\n".join(line for seed, title in TITLES.items() for line in _table(seed, title, found, versions))


def put(path: Path, name: str, text: str) -> None:
    """``text`` as the file, or between the file's marks of that name, where it has them."""
    old = path.read_text() if path.exists() else ""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = old.partition(begin)
    _, found_end, after = rest.partition(end)
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}" if found and found_end else text)


def _table(seed: str, title: str, found: list[Finding], versions: list[str]) -> Iterator[str]:
    rows = [one for one in found if one.seed == seed]
    if not rows:
        return
    yield f"### {title}\n"
    yield f"| route | by way of | {' | '.join(versions)} |"
    yield f"|---|---|{'---|' * len(versions)}"
    for route, way in dict.fromkeys((one.route, one.way) for one in rows):
        cells = (
            next((one for one in rows if (one.route, one.way, one.version) == (route, way, v)), None)
            for v in versions
        )
        yield f"| {route} | {way} | {' | '.join(_cell(one) for one in cells)} |"
    yield ""


def _cell(one: Finding | None) -> str:
    if one is None:
        return ""
    text = f"{one.seen} **FAULT: {one.fault}**" if one.fault else one.seen
    return text.replace("|", "\\|").replace("\n", " ")


def faults(found: Iterable[Finding]) -> list[str]:
    said = (f"{one.version} {one.seed} {one.route} {one.way}: {one.fault}" for one in found if one.fault)
    return list(said)
