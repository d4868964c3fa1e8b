"""The tables of docs/translation.md say what the code does, field by field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from translated_fields import BASE, EXAMPLES, Example

from relay import dialects
from relay.dialects.request import BadRequest, Profile

DOCUMENT = Path(__file__).parents[1] / "docs/translation.md"

_SECTION = re.compile(r"^### A (\w+) client\n\n(.*?)\n\n", re.MULTILINE | re.DOTALL)


def tables() -> dict[tuple[str, str, str], str]:
    """The mark of each client's field for each upstream."""
    marks: dict[tuple[str, str, str], str] = {}
    for client, table in _SECTION.findall(DOCUMENT.read_text()):
        head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")]
        upstreams = [cell.removesuffix(" upstream") for cell in head[1:3]]
        for field, *cells in rows:
            marks |= {
                (client, field, upstream): mark for upstream, mark in zip(upstreams, cells, strict=False)
            }
    return marks


def written(client: str, upstream: str, fields: Example) -> tuple[Any, list[str]]:
    document = {name: value for name, value in (BASE[client] | fields).items() if value is not None}
    request = dialects.CODECS[client].read(document)
    return dialects.CODECS[upstream].write(request, Profile()), request.dropped


def mark(client: str, upstream: str, example: Example | tuple[Example, Example]) -> str:
    without, fields = example if isinstance(example, tuple) else ({}, example)
    try:
        document, dropped = written(client, upstream, fields)
    except BadRequest as error:
        return "refused" if error.path else "refused without a path"
    if dropped:
        return "reported"
    return "silent" if document == written(client, upstream, without)[0] else "told"


CASES = [
    (client, field, upstream)
    for client, examples in EXAMPLES.items()
    for field in examples
    for upstream in dialects.CODECS
    if upstream != client
]


def test_the_tables_have_every_field_and_no_other() -> None:
    assert set(tables()) == set(CASES)


@pytest.mark.parametrize(("client", "field", "upstream"), CASES)
def test_a_field_is_treated_as_the_table_says(client: str, field: str, upstream: str) -> None:
    assert mark(client, upstream, EXAMPLES[client][field]) == tables()[client, field, upstream]
