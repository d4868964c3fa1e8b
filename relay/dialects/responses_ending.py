"""The end of a Responses stream: what its terminal event says of the items, and what was streamed of them.

``completed`` repeats every item. What it repeats was announced, streamed and done, in the order of its
``output``; where that is not so, the events that are missing go out before it, or it is corrected.
"""

from __future__ import annotations

from collections import defaultdict, deque

from relay.dialects.checker import Checker, Malformed
from relay.dialects.deltas import Kind
from relay.dialects.frame import Frame
from relay.dialects.grammar import State
from relay.dialects.responses_document import Json, made
from relay.dialects.responses_items import CALLS, LISTS, Item, Part, says_nothing, type_of
from relay.dialects.responses_output import Output

_ANSWERS = ("message", *CALLS)
"""The items that an answer can end with."""


class Ending:
    """What must be so before a stream may end."""

    __slots__ = ("_grammar", "_items", "_mends", "_output")

    def __init__(self, checker: Checker, output: Output) -> None:
        self._grammar = checker.grammar
        self._mends = checker.mends
        self._output = output
        self._items = output.items

    def is_complete(self) -> bool:
        """Whether everything is done, and one thing is an answer: some servers end so (RESP-20)."""
        if self._grammar.state is not State.OPEN or self._grammar.blocks or self._output.nameless:
            return False
        finals = self.finals()
        is_cut = any(final.get("status") == "incomplete" for final in finals)
        return not is_cut and any(final.get("type") in _ANSWERS for final in finals)

    def finals(self) -> list[Json]:
        """The done items in their order."""
        return [item.final for item in self._items.all if item.final is not None]

    def before(self, response: Json, *, complete: bool) -> list[Frame]:
        """What must go out before a terminal event that carries this response.

        When the output limit was reached, what the upstream left open stays open: a client would run a
        cut call if it were done. What only relay announced is closed.
        """
        entries = _entries(response)
        out = [*self._output.take_waiting(), *self._name_held(entries)]
        matched = self._match(entries)
        listed = {item.index: entry for item, entry in zip(matched, entries, strict=True) if item is not None}
        if self._grammar.implied(Kind.FINISH) is Kind.CLOSE:
            for item in self._items.all:
                if item.final is not None or not (complete or (item.made and item.type not in CALLS)):
                    continue
                if self._mends("responses-item-not-done"):
                    status = "completed" if complete else "incomplete"
                    out += self._close(item, listed.get(item.index), status)
            self._grammar.blocks.clear()
        for known, entry in zip(matched, entries, strict=True):
            if known is not None or not type_of(entry) or says_nothing(entry):
                continue
            if type_of(entry) in CALLS and not complete and entry.get("status") != "completed":
                continue
            if self._mends("responses-item-missing"):
                # LiteLLM cuts a finished answer into text deltas and leaves out the calls (27442).
                out += self._output.whole(entry)
        return out

    def settle(self, frame: Frame, response: Json, kind: str) -> None:
        """Let the terminal event repeat the items as they were streamed; a failure need not."""
        listed, entries = response.get("output"), _entries(response)
        if kind == "response.failed":
            if not isinstance(listed, list) and self._mends("responses-output-missing"):
                frame.set(("response", "output"), [])
            return
        matched = self._match(entries)
        own = {item: entry for item, entry in zip(matched, entries, strict=True) if item is not None}
        wanted = [item for item in self._items.all if item.final is not None or item in own]
        # A call that the limit cut may be heard of only here.
        cut = [entry for item, entry in zip(matched, entries, strict=True) if item is None and type_of(entry)]
        cut = [entry for entry in cut if kind == "response.incomplete" and not says_nothing(entry)]
        is_there = isinstance(listed, list) and (listed != [] or not wanted)
        is_whole = isinstance(listed, list) and len(own) == len(wanted) and len(listed) == len(own) + len(cut)
        if not is_whole or (list(own) != wanted and self._reordered()):
            if self._mends("responses-output" if is_there else "responses-output-missing"):
                output = [self._repeated(item, own.get(item)) for item in wanted]
                frame.set(("response", "output"), [*output, *cut])
            return
        for position, (item, entry) in enumerate(zip(matched, entries, strict=True)):
            if item is not None and item.type == "reasoning" and not isinstance(entry.get("summary"), list):
                # LiteLLM lists it with the content of a message; helpers look for the summary.
                if item.final is not None and self._mends("responses-output"):
                    frame.set(("response", "output", position), item.final)
                continue
            if item is None or not (item.renamed or item.made):
                continue
            for key, known in item.ids().items():
                if entry.get(key) != known and self._mends("responses-identity"):
                    frame.set(("response", "output", position, key), known)

    def _reordered(self) -> bool:
        """Whether relay has given the items another order than the upstream meant."""
        return any(item.made or item.source != item.index for item in self._items.all)

    def _repeated(self, item: Item, entry: Json | None) -> Json:
        return item.final if item.final is not None else {**(entry or item.whole("incomplete")), **item.ids()}

    def _match(self, entries: list[Json]) -> list[Item | None]:
        """The item that each entry repeats, by id, by call id, then by kind."""
        left = dict.fromkeys(self._items.all)
        calls = {item.call_id: item for item in self._items.all if item.call_id is not None}
        matched: list[Item | None] = []
        for entry in entries:
            call_id = entry.get("call_id")
            by_call = calls.get(call_id) if isinstance(call_id, str) else None
            found = None
            for item in (self._items.named(entry.get("id")), by_call):
                if found is None and item in left and item is not None and item.type == entry.get("type"):
                    found = item
            matched.append(found)
            if found is not None:
                del left[found]
        by_kind: defaultdict[str, deque[Item]] = defaultdict(deque)
        for item in left:
            by_kind[item.type].append(item)
        for position, entry in enumerate(entries):
            if matched[position] is None and by_kind[type_of(entry)]:
                matched[position] = by_kind[type_of(entry)].popleft()
        return matched

    def _name_held(self, entries: list[Json]) -> list[Frame]:
        """Announce the calls that wait for a name, if the terminal event has it."""
        out: list[Frame] = []
        for held in list(self._output.nameless):
            calls = (entry for entry in entries if type_of(entry) == held.kind)
            named = next((entry for entry in calls if entry.get("id") == held.ident), None)
            if named is None or not isinstance(named.get("name"), str) or not named["name"]:
                raise Malformed("a call without a name")
            out += self._output.announce_held(held, named)
        return out

    def _close(self, item: Item, entry: Json | None, status: str) -> list[Frame]:
        """The done events of an item that was left open."""
        supply = self._output.supply
        out: list[Frame] = []
        if entry is not None and not item.parts:
            out += supply.texts(item, entry)
        for part in item.parts:
            rest = self._rest(part, entry)
            if rest and part.text is None and item.is_open(part):
                out.append(supply.delta(item, part, rest))
        out += supply.ends(item, lambda part: True)
        final = item.whole(status, entry)
        out.append(made("response.output_item.done", output_index=item.index, item=final))
        self._grammar.admit(Kind.CLOSE, item.index)
        item.done(final)
        return out

    def _rest(self, part: Part, entry: Json | None) -> str:
        """The end of a text that only the terminal event has."""
        said: object = entry
        if entry is not None and part.channel.number is not None:
            listed = entry.get(LISTS[part.channel.number])
            said = listed[part.index] if isinstance(listed, list) and part.index < len(listed) else None
            if type_of(said) != part.channel.part:
                return ""
        text, streamed = part.channel.text_in(said), part.so_far()
        return text[len(streamed) :] if text.startswith(streamed) else ""


def _entries(response: Json) -> list[Json]:
    listed = response.get("output")
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
