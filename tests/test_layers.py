"""The house plan as tests: who may import whom, and how large a thing may grow.

``LAYERS`` names every module, lowest first; a module imports only what stands before it. Some packages
(``source``, ``litellm``, ``settings``, ``fake``, ``cli``) and the parts of each dialect stand as one entry
each: their own order is theirs, as long as it has no circle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "relay"

LAYERS: dict[str, str] = {
    "ground": "__init__ errors address access config metrics source.* litellm.* settings.*",
    "wire": "wire wire.framing wire.inflate wire.sse wire.edit wire.target wire.http1 wire.endpoints "
    "wire.credentials wire.forwarding wire.translated",
    "dialects": "dialects.deltas dialects.request dialects.reading dialects.conversation dialects.naming "
    "dialects.arguments dialects.grammar dialects.frame dialects.announcing dialects.failures "
    "dialects.checker dialects.codec dialects.profiles dialects.chat_* dialects.chat dialects.messages_* "
    "dialects.messages dialects.responses_* dialects.responses dialects",
    "core": "health routing routes keys retry completion crosstalk likeness patching payload holding mending "
    "translating recognising_burst recognising stream checked continuing splicing continued collected "
    "opening translation token_count model_list models_merged error_document spend",
    # ----- the asyncio line -----
    "net": "net net.outlet net.deadline net.keepalive net.hangup net.descriptors net.peer net.upstream "
    "net.dial net.pool net.asking net.admission net.spending net.probing net.waiting net.relay net.tunnel "
    "net.upload net.document net.checking net.converting net.translating net.reply net.slot net.models "
    "net.way net.owner net.target_request net.download net.attempt net.aftermath net.hedging "
    "net.continuation net.exchange net.server net.accepting net.admin",
    "fake": "fake.*",
    "process": "systemd tls listen watching worker generation reloads supervisor cli.* __main__",
}
BELOW_THE_LINE = ("ground", "wire", "dialects", "core")
IMPURE = {"asyncio", "uvloop", "socket", "ssl", "time", "random", "threading", "logging"}
STRANGERS = [{"net", "instrument", "fake"}, {"wire", "dialects"}]
"""Packages that never import each other."""
DIALECTS = {"chat", "messages", "responses"}

MAY_PRINT = ("cli", "worker", "supervisor")
MAX_MODULE, MAX_FUNCTION = 350, 60

RANKS = {name: rank for rank, name in enumerate(" ".join(LAYERS.values()).split())}
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names.split()}


def module_name(path: Path) -> str:
    """``wire.sse`` for relay/wire/sse.py, ``wire`` for its package, ``__init__`` for relay itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
every_module = pytest.mark.parametrize("module", MODULES)


def entry(module: str) -> str | None:
    """The line of ``LAYERS`` that this module belongs to."""
    entries = (module, module.split(".", 1)[0] + ".*", module.split("_", 1)[0] + "_*")
    return next((name for name in entries if name in RANKS), None)


def dialect(module: str) -> str | None:
    """Whose part this module is: ``chat`` for dialects.chat and dialects.chat_tools."""
    package, _, name = module.partition(".")
    family = name.split("_")[0]
    return family if package == "dialects" and family in DIALECTS else None


def imported(tree: ast.AST, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Full names of all that is imported, wherever in the file; relay's own without ``relay.``"""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("relay.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, module, is_package=is_package)
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix("relay.")
                yield inner if inner in MODULES else base.removeprefix("relay.")


def absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    here = ["relay", *([] if module == "__init__" else module.split("."))]
    up = node.level - (1 if is_package else 0)
    return ".".join([*here[: len(here) - up], *([node.module] if node.module else [])])


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    tree = ast.parse(path.read_text())
    names = imported(tree, module, is_package=path.name == "__init__.py")
    return {"__init__" if name == "relay" else name for name in names}


def complaint(importer: str, target: str) -> str | None:
    """What is wrong with this import of one of relay's modules by another, if anything."""
    packages = {importer.split(".")[0], target.split(".")[0]}
    if len(packages) == 2 and any(packages <= strangers for strangers in STRANGERS):
        return "these packages never import each other"
    own = dialect(importer)
    if own is not None and dialect(target) not in (None, own):
        return "a dialect knows no other dialect"
    if own is None and dialect(target) is not None and importer != "dialects":
        return "a dialect is known by its name"
    above, below = entry(importer), entry(target)
    if above is None or below is None:
        return "not in LAYERS"
    if above != below and RANKS[below] > RANKS[above]:
        return "upwards"
    return None


# --- the rules can fail -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("importer", "target", "why"),
    [
        ("wire.sse", "stream", "upwards"),
        ("errors", "config", "upwards"),
        ("stream", "net.pool", "upwards"),
        ("wire.framing", "wire.http1", "upwards"),
        ("net.pool", "net.exchange", "upwards"),
        ("worker", "cli.serve", "upwards"),
        ("net.server", "fake.server", "never import each other"),
        ("fake.server", "net.server", "never import each other"),
        ("instrument.client", "net.pool", "never import each other"),
        ("wire.sse", "dialects.chat", "never import each other"),
        ("dialects.chat", "wire.sse", "never import each other"),
        ("dialects.chat", "dialects.messages", "no other dialect"),
        ("dialects.chat_tools", "dialects.responses_items", "no other dialect"),
        ("dialects.chat_tools", "dialects.chat", "upwards"),
        ("dialects.checker", "dialects.chat", "known by its name"),
        ("mending", "dialects.chat_tools", "known by its name"),
        ("dialects.chat", "mending", "upwards"),
        ("dialects.chat", "dialects", "upwards"),
        ("net.new", "errors", "not in LAYERS"),
        ("stream", "new", "not in LAYERS"),
    ],
)
def test_an_import_against_the_plan_is_noticed(importer: str, target: str, why: str) -> None:
    assert why in (complaint(importer, target) or "")


@pytest.mark.parametrize(
    ("importer", "target"),
    [
        ("stream", "wire.sse"),
        ("dialects.chat", "dialects.chat_tools"),
        ("dialects.chat_tools", "dialects.chat_content"),
        ("dialects.chat", "dialects.grammar"),
        ("dialects", "dialects.chat"),
        ("mending", "dialects.checker"),
        ("net.server", "net.exchange"),
        ("fake.a", "fake.b"),
        ("cli.fake", "fake.server"),
    ],
)
def test_an_import_along_the_plan_is_allowed(importer: str, target: str) -> None:
    assert complaint(importer, target) is None


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import relay.errors", {"errors"}),
        ("from relay.errors import UsageError", {"errors"}),
        ("from relay.wire import sse, framing as f", {"wire.sse", "wire.framing"}),
        ("from . import sse", {"wire.sse"}),
        ("from .sse import FrameScanner", {"wire.sse"}),
        ("from ..errors import UsageError", {"errors"}),
        ("from relay import __version__", {"relay"}),
        ("def f():\n    import time", {"time"}),
        ("import os.path, h11", {"os.path", "h11"}),
    ],
)
def test_every_way_to_write_an_import_is_seen(source: str, found: set[str]) -> None:
    assert set(imported(ast.parse(source), "wire.http1")) == found


# --- layers -----------------------------------------------------------------------------------


@every_module
def test_every_module_has_its_place_in_the_plan(module: str) -> None:
    assert entry(module) is not None, f"put {module} into LAYERS of this test and into docs/architecture.md"


def test_the_plan_names_no_module_that_is_gone() -> None:
    assert set(RANKS) - {str(entry(module)) for module in MODULES} == set()


@every_module
def test_imports_go_down_only(module: str) -> None:
    own = [name for name in imports_of(module) if name in MODULES]
    assert {name: complaint(module, name) for name in own if complaint(module, name)} == {}


@every_module
def test_there_is_no_circle_of_imports(module: str) -> None:
    reached, waiting = set(), [name for name in imports_of(module) if name in MODULES]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [inner for inner in imports_of(name) if inner in MODULES]
    assert module not in reached


@every_module
def test_nothing_below_the_line_knows_loops_sockets_clocks_or_chance(module: str) -> None:
    if LAYER_OF.get(str(entry(module))) in BELOW_THE_LINE:
        assert {name.split(".")[0] for name in imports_of(module)} & IMPURE == set()


def test_only_one_module_knows_h11() -> None:
    assert [module for module in MODULES if "h11" in imports_of(module)] == ["wire.http1"]


# --- sizes and habits -------------------------------------------------------------------------


@every_module
def test_a_module_has_one_noun(module: str) -> None:
    assert len(MODULES[module].read_text().splitlines()) <= MAX_MODULE


@every_module
def test_a_function_has_one_verb(module: str) -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(MODULES[module].read_text())) if isinstance(node, functions)]
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in nodes}
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION} == {}


def is_print(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"


@every_module
def test_only_the_command_line_and_the_processes_print(module: str) -> None:
    if module.split(".")[0] not in MAY_PRINT:
        assert not any(map(is_print, ast.walk(ast.parse(MODULES[module].read_text()))))


@every_module
def test_a_module_opens_with_its_theory(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text())
    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("wire.")])
def test_every_wire_module_has_its_test_file(module: str) -> None:
    folder, name = module.split(".")
    assert (ROOT / "tests" / folder / f"test_{name}.py").is_file()
