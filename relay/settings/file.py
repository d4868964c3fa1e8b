"""``relay.yaml`` read to what it says about each setting, with all its mistakes told in one run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from relay.address import ListenAddress
from relay.config import Upstream
from relay.errors import UsageError
from relay.settings import form as file_form
from relay.settings import options
from relay.settings import routes as file_routes
from relay.settings import upstreams as file_upstreams
from relay.settings.flat import route_labels
from relay.settings.form_limits import LimitsForm, TimeoutsForm
from relay.settings.reachable import taken_by
from relay.settings.reading import Reading
from relay.settings.resolved import LITELLM, digest
from relay.settings.said import Layer, Said
from relay.source.reading import Node, Problem, Scalar, Section, read

_PARTS: Mapping[str, type] = {
    "tls": file_form.TlsForm,
    "drain": file_form.DrainForm,
    "litellm": file_form.LiteLLMForm,
    "spend": file_form.SpendForm,
    "queue": file_form.QueueForm,
    "health": file_form.HealthForm,
    "timeouts": TimeoutsForm,
    "limits": LimitsForm,
}
_PATHS = ("tls.cert", "tls.key", "tls.client_ca", "litellm.config")
"""Names of files, which are sought beside the file that names them."""


@dataclass
class Told:
    """What one file says."""

    layer: Layer = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    """Paths whose value cannot be read, so that nothing else is concluded from their defaults."""
    names: list[str] = field(default_factory=list)
    """Of all upstreams, those that could not be read among them."""
    files: list[str] = field(default_factory=list)
    """All that were read."""
    warnings: list[str] = field(default_factory=list)


def told(
    path: str,
    environ: Mapping[str, str],
    choices: options.Choices,
    problems: list[Problem],
    base: Upstream,
    others: Collection[str] = (),
) -> Told:
    """Read the file; ``others`` are names of upstreams that come from elsewhere."""
    found = Told(files=[path])
    before = len(problems)
    node = read(path, environ, problems)
    if node is None:
        found.failed |= {"upstreams", "routes"} if len(problems) > before else set()
        return found
    reading = Reading(problems, choices, environ)
    entries = reading.section(node, file_form.File, "the file")
    for name, inner in entries.items():
        if name in _PARTS:
            found.layer |= reading.part(name, inner, _PARTS[name])
        elif name not in ("upstreams", "routes", "keep_alive"):
            found.layer |= _ONE.get(name, _scalar)(reading, name, inner)
    _same(reading, entries, found.layer)
    if "litellm.config" in found.layer and LITELLM not in others:
        others = [*others, LITELLM]
    _servers(reading, entries, found, base, others)
    for one in _PATHS:
        if one in found.layer:
            found.layer[one] = reading.beside(found.layer[one])
    found.failed |= reading.failed
    found.files += reading.files
    found.warnings += [f"{one.place}: {one.message}" for one in reading.warnings]
    return found


def _servers(
    reading: Reading, entries: Mapping[str, Node], found: Told, base: Upstream, others: Collection[str]
) -> None:
    """Upstreams, and the routes to them."""
    upstreams = file_upstreams.Upstreams()
    if "upstreams" in entries:
        node = entries["upstreams"]
        upstreams = file_upstreams.read(reading, node, base)
        for name in others:
            if name in upstreams.names:
                message = (
                    f"the upstream made from LiteLLM's file is called {name}, too; give yours another name"
                )
                reading.wrong(upstreams.names[name], message)
        found.names += upstreams.names
        found.layer |= upstreams.parts
        found.layer["upstreams"] = Said(tuple(upstreams.read), node.place)
        if len(upstreams.read) < len(reading.items(node)):
            reading.failed.add("upstreams")
    if "routes" in entries:
        node = entries["routes"]
        names = [*upstreams.names, *others]
        routes = file_routes.read(reading, node, names)
        _reach(reading, [route for route in routes if route.sound])
        rules = tuple(rule for route in routes for rule in route.rules)
        found.layer["routes"] = Said(rules, node.place)
        owners = [route for route in routes for _ in route.rules]
        for label, owner in zip(route_labels(rules), owners, strict=True):
            found.layer[f"routes[{label}]"] = Said(None, owner.place)
            found.layer |= _parts(f"routes[{label}]", owner.fields)


def _parts(path: str, fields: Mapping[str, Node]) -> Layer:
    """Where each field of a route stands."""
    parts: Layer = {}
    for name, node in fields.items():
        if isinstance(node, Section) and name in ("timeouts", "limits"):
            parts |= _parts(f"{path}.{name}", node.entries)
        else:
            called = {"path": "paths", "keep_alive": "timeouts.silence"}.get(name, name)
            parts[f"{path}.{called}"] = Said(None, node.place)
    return parts


def _reach(reading: Reading, routes: list[file_routes.Route]) -> None:
    """A route of which nothing is left by those before it was meant to stand before them."""
    rules = [rule for route in routes for rule in route.rules]
    owners = [at for at, route in enumerate(routes) for _ in route.rules]
    for at, route in enumerate(routes):
        mine = [place for place, owner in enumerate(owners) if owner == at]
        earlier = {taken_by([*rules[: owners.index(at)], rules[one]], owners.index(at)) for one in mine}
        if mine and None not in earlier:
            line = routes[owners[min(one for one in earlier if one is not None)]].place.line
            message = (
                f"no request reaches this route: the one in line {line} takes them all; put this before it"
            )
            reading.wrong(route.place, message)


def _scalar(reading: Reading, name: str, node: Node) -> Layer:
    return reading.scalar(name, node)


def _addresses(reading: Reading, name: str, node: Node) -> Layer:
    found = [reading.leaf(item, _address) for item in reading.items(node)]
    if not found and name == "listen":
        reading.wrong(node.place, "there is no address; leave the line out for the default")
    read = tuple(one for one in found if one is not None)
    if len(read) < len(found):
        reading.failed.add(name)
    return {name: Said(read, node.place)}


def _address(text: str) -> ListenAddress:
    if text.isdecimal():
        raise UsageError(f"{text} names no address: 127.0.0.1:{text}, or :{text} for all addresses?")
    return ListenAddress.parse(text)


def _keys(reading: Reading, name: str, node: Node) -> Layer:
    said = reading.part(name, node, file_form.KeysForm, without=("accept", "file"))
    entries = node.entries if isinstance(node, Section) else {}
    if "accept" in entries:
        items = reading.items(entries["accept"])
        known = [reading.leaf(item, _accepted) for item in items]
        if not items:
            reading.wrong(entries["accept"].place, "there is no key; leave the line out to serve everybody")
        said["keys.accept"] = Said(tuple(one for one in known if one), entries["accept"].place)
    if "file" in entries:
        listed = reading.listed(entries["file"])
        if listed is not None:
            said["keys.file"] = Said(listed, entries["file"].place)
    return said


def _accepted(text: str) -> str:
    digest(text)
    return text


def _retry(reading: Reading, name: str, node: Node) -> Layer:
    """``retry: off`` is short for ``retry: {repeat: off}``."""
    if isinstance(node, Scalar):
        return reading.scalar("retry.repeat", node)
    return reading.part(name, node, file_form.RetryForm)


_ONE: Mapping[str, Callable[[Reading, str, Node], Layer]] = {
    "listen": _addresses,
    "admin": _addresses,
    "keys": _keys,
    "retry": _retry,
}
"""What is read in its own way."""


def _same(reading: Reading, entries: Mapping[str, Node], layer: Layer) -> None:
    """``keep_alive`` is ``timeouts.silence``; both may be there if they agree."""
    if "keep_alive" in entries:
        node = entries["keep_alive"]
        path = "timeouts.silence"
        before = layer.get(path)
        layer |= reading.scalar(path, node)
        if before is not None and path in layer and before.value != layer[path].value:
            message = "keep_alive and timeouts.silence say different things: say it once"
            reading.wrong(node.place, message)
