"""LiteLLM's ``config.yaml`` as LiteLLM reads it: what it serves, and what it was told.

It is not relay's file and has other rules. Anchors and merge keys are in use, ``${NAME}`` is text, of a
key that is there twice the last one counts, and a variable may be set for LiteLLM that is not set here.
So nothing but a file that LiteLLM could not read either is a problem; all else is a warning. Texts and
representations never hold a value of the file: any of them may be a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.litellm.loading import Document, load
from relay.source.problems import Problem

VARIABLE = "os.environ/"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One entry of ``model_list``.

    name    what clients call it, with ``*`` where it is a pattern
    model   what LiteLLM calls it, with its provider before it
    params  all of ``litellm_params``, variables and named credentials filled in
    info    all of ``model_info``
    unset   variables that are not set here, in the order of ``params``
    place   file and line
    """

    name: str
    model: str
    params: Mapping[str, Any] = field(repr=False)
    info: Mapping[str, Any] = field(repr=False)
    unset: tuple[str, ...] = ()
    place: str = ""

    @property
    def custom(self) -> str:
        said = self.params.get("custom_llm_provider")
        return said if isinstance(said, str) else ""

    @property
    def mode(self) -> str:
        """What ``model_info`` says that the model does; empty where it does not say."""
        said = self.info.get("mode")
        return said if isinstance(said, str) else ""


@dataclass(frozen=True, slots=True)
class LiteLLMFile:
    """One file, with those that it includes."""

    deployments: tuple[Deployment, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other names, of names and of patterns."""
    top: Mapping[str, Any] = field(default_factory=dict, repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment with what the file adds to it."""
    files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def section(self, name: str) -> Mapping[str, Any]:
        found = self.top.get(name)
        return found if isinstance(found, dict) else {}

    def filled(self, value: Any) -> Any:
        """``value``, or what the variable that it names holds; None where that is not set."""
        return _filled(value, self.environ, [])


def read(path: str, environ: Mapping[str, str], problems: list[Problem]) -> LiteLLMFile | None:
    """Read the file and what it includes. None where it cannot be read: then a problem says why."""
    document = load(path, problems)
    if document is None:
        return None
    files = [path]
    warnings = list(document.warnings)
    top, places = _merged(document, files, problems, warnings)
    known = _environment(top, environ)
    credentials = _credentials(top)
    deployments = tuple(_deployments(top, places, known, credentials, warnings))
    router = top.get("router_settings")
    aliases = _aliases(router if isinstance(router, dict) else {}, warnings)
    return LiteLLMFile(deployments, aliases, top, known, tuple(files), tuple(warnings))


def _merged(
    document: Document, files: list[str], problems: list[Problem], warnings: list[str]
) -> tuple[dict[Any, Any], list[str]]:
    """All keys of all files, and where each entry of ``model_list`` stands.

    An included file's lists are added to those that are there, anything else replaces it; the files that
    an included one names are looked for beside the first, too.
    """
    top = dict(document.value)
    places = list(document.entries("model_list"))
    names = top.pop("include", None)
    if names is None:
        return top, places
    if not isinstance(names, list):
        problems.append(document.problem("include", "expected a list of files; LiteLLM starts with no other"))
        return top, places
    waiting = [(name, document) for name in names]
    for name, said_in in waiting:
        if not isinstance(name, str):
            problems.append(said_in.problem("include", "expected the name of a file"))
            continue
        path = os.path.join(os.path.dirname(os.path.abspath(files[0])), name)
        if path in files:
            continue
        files.append(path)
        included = load(path, problems, said_in.place("include"))
        if included is None:
            continue
        warnings += included.warnings
        more = included.value.get("include")
        waiting += [(one, included) for one in more] if isinstance(more, list) else []
        _extend(top, places, included)
    return top, places


def _extend(top: dict[Any, Any], places: list[str], included: Document) -> None:
    for key, value in included.value.items():
        if key == "include":
            continue
        if isinstance(value, list) and isinstance(top.get(key), list):
            top[key] = [*top[key], *value]
        else:
            top[key] = value
            if key == "model_list":
                places.clear()
        if key == "model_list":
            places += included.entries("model_list")


def _environment(top: Mapping[Any, Any], environ: Mapping[str, str]) -> dict[str, str]:
    known = dict(environ)
    said = top.get("environment_variables")
    for name, value in said.items() if isinstance(said, dict) else ():
        filled = _filled(value, known, [])
        if isinstance(name, str) and filled is not None:
            known[name] = str(filled)
    return known


def _filled(value: Any, environ: Mapping[str, str], unset: list[str]) -> Any:
    if not isinstance(value, str) or not value.startswith(VARIABLE):
        return value
    name = value.removeprefix(VARIABLE)
    if name not in environ:
        unset.append(name)
    return environ.get(name)


def _credentials(top: Mapping[Any, Any]) -> dict[str, dict[Any, Any]]:
    """``credential_list``: parameters that deployments take by name."""
    found = {}
    said = top.get("credential_list")
    for one in said if isinstance(said, list) else ():
        if isinstance(one, dict) and isinstance(one.get("credential_name"), str):
            values = one.get("credential_values")
            found[one["credential_name"]] = values if isinstance(values, dict) else {}
    return found


def _deployments(
    top: Mapping[Any, Any],
    places: list[str],
    environ: Mapping[str, str],
    credentials: Mapping[str, dict[Any, Any]],
    warnings: list[str],
) -> Iterator[Deployment]:
    entries = top.get("model_list")
    if entries is not None and not isinstance(entries, list):
        warnings.append("model_list is no list: LiteLLM has no models of it")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        place = places[index] if index < len(places) else ""
        made = _deployment(entry, place, environ, credentials)
        if isinstance(made, Deployment):
            yield made
        else:
            warnings.append(f"{place}: {made}; LiteLLM cannot serve it")


def _deployment(
    entry: Any, place: str, environ: Mapping[str, str], credentials: Mapping[str, dict[Any, Any]]
) -> Deployment | str:
    """The deployment of an entry, or what it lacks."""
    if not isinstance(entry, dict):
        return "an entry of model_list that is no section"
    name, said, info = entry.get("model_name"), entry.get("litellm_params"), entry.get("model_info")
    if not isinstance(name, str) or not name:
        return "an entry of model_list without a model_name"
    if not isinstance(said, dict):
        return f"{shown(name)} has no litellm_params"
    unset: list[str] = []
    credential = said.get("litellm_credential_name")
    if isinstance(credential, str):
        said = {**credentials.get(credential, {}), **said}
        if credential not in credentials:
            unset.append(f"the credential {shown(credential)}")
    params = {str(key): _deep(value, environ, unset) for key, value in said.items()}
    model = params.get("model")
    if not isinstance(model, str) or not model:
        return f"{shown(name)} has no model in its litellm_params"
    if not isinstance(info, dict):
        info = {}
    return Deployment(name, model, params, info, tuple(dict.fromkeys(unset)), place)


def _deep(value: Any, environ: Mapping[str, str], unset: list[str]) -> Any:
    """Variables are filled in headers, too; deeper ones are no parameters that relay would use."""
    if isinstance(value, dict):
        return {key: _filled(inner, environ, unset) for key, inner in value.items()}
    return _filled(value, environ, unset)


def _aliases(router: Mapping[Any, Any], warnings: list[str]) -> dict[str, str]:
    said = router.get("model_group_alias")
    found = {}
    for name, target in said.items() if isinstance(said, dict) else ():
        if isinstance(target, dict):  # with ``hidden``, which only leaves it out of lists
            target = target.get("model")
        if isinstance(name, str) and isinstance(target, str) and name and target:
            found[name] = target
        else:
            warnings.append(f"model_group_alias: {shown(str(name))} stands for no name")
    return found


def shown(name: str) -> str:
    """A name for a line of text."""
    return name if re.fullmatch(r"[!-~]{1,80}", name) else repr(name[:80])
