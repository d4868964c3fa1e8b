"""What can go wrong with one stream, when, and what comes of it: a table with one outcome for every cell.

Its columns are phases: before the upstream's head, before its first frame, inside a frame, between frames,
after the finish was announced. A cell is made of these words:

    whole supplied error none 504  what the client got: the stream as it was sent; the same with its end
                                   supplied; the dialect's error event and the end of the body; nothing,
                                   because it is not there to take it; a status with an error document
    OK UE UR UT UX UP UF CD CT DR  the end code
    reused                         the upstream's connection is in the pool; otherwise it is closed
    shut gone                      relay has closed the client's connection, the client has; otherwise it
                                   serves on

A cell in parentheses cannot be; ``REASONS`` says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from .test_checked_streams import DONE, ITEM, PLACE, RESPONSE, STOP, chat, frame, message

TABLE = """
                      | head          | first frame   | inside        | between       | finish
no connection         | 503 UF        | (connected)   | (connected)   | (connected)   | (connected)
last word             | (none begun)  | (none begun)  | (half)        | (unfinished)  | whole OK reused
last word and silence | (none begun)  | (none begun)  | (half)        | (unfinished)  | whole OK
body ends             | 502 UP        | 502 UR        | error UE      | error UE      | supplied OK reused
FIN                   | 502 UR        | 502 UE        | error UE      | error UE      | supplied OK
RST                   | 502 UR        | 502 UR        | error UR      | error UR      | supplied OK
silence               | 504 UT        | 504 UT        | error UT      | error UT      | supplied OK
no HTTP               | 502 UP        | 502 UP        | error UP      | error UP      | supplied OK
no JSON               | (no head)     | 502 UP        | error UP      | error UP      | error UP
status 429            | 429 OK reused | (head sent)   | (head sent)   | (head sent)   | (head sent)
error event           | (no head)     | 429 UX        | (half)        | error UX reused | error UX reused
client closes         | none CD gone  | none CD gone  | none CD gone  | none CD gone  | none CD gone
client resets         | none CD gone  | none CD gone  | none CD gone  | none CD gone  | none CD gone
client is slow        | (no bytes)    | (no bytes)    | (whole only)  | none CT shut  | none OK reused shut
drain                 | 503 DR shut   | 503 DR shut   | error DR shut | error DR shut | supplied OK shut
"""
"""One target."""

SECOND = """
                      | head          | first frame
no connection         | other OK      | (connected)
body ends             | other OK      | other OK
FIN                   | other OK      | other OK
RST                   | other OK      | other OK
silence               | other OK      | other OK
no HTTP               | other OK      | other OK
no JSON               | (no head)     | other OK
status 429            | other OK      | (head sent)
error event           | (no head)     | other OK
client closes         | none CD gone  | none CD gone
client resets         | none CD gone  | none CD gone
drain                 | 503 DR shut   | 503 DR shut
"""
"""A second target that works and may be asked; ``other`` is its answer. In the later phases the first
answer has begun to leave: it ends as in the first table, and the second target hears of nothing."""

EXCEPTIONS = {
    # Of Responses only the last word announces an end. That all items are done says something when the
    # upstream then closes, and nothing when it breaks off.
    ("RST", "finish", "responses"): "error UR",
    ("silence", "finish", "responses"): "error UT",
    ("no HTTP", "finish", "responses"): "error UP",
    ("drain", "finish", "responses"): "error DR shut",
    # An error of the upstream is written anew in the client's dialect.
    ("status 429", "head", "translated"): "429 UX",
}
"""Where the upstream's dialect makes a difference, or translation."""

REASONS = {
    "connected": "the connection is there",
    "none begun": "the last word of an answer that has not begun is a frame that is none, or an empty stream",
    "half": "half a frame is no frame; with its other half it stands between frames",
    "unfinished": "a last word that nothing announced is mended or malformed by the rules of each dialect",
    "no head": "a frame before the head is no HTTP",
    "head sent": "there is one status line to a response",
    "no bytes": "nothing has been sent that a client could leave untaken",
    "whole only": "half a frame is never sent, so no client is slow to take it",
}

ROWS = {
    "terminal event seen": ("last word", "last word and silence"),
    "upstream forgets only the terminator": ("body ends",),
    "upstream closes or resets in mid-stream": ("FIN", "RST", "body ends", "no HTTP", "no JSON"),
    "upstream is silent too long": ("silence",),
    "upstream fails before commit": (
        "no connection",
        "FIN",
        "RST",
        "silence",
        "no HTTP",
        "status 429",
        "error event",
    ),
    "client leaves": ("client closes", "client resets"),
    "client too slow": ("client is slow",),
    "SIGTERM": ("drain",),
}
"""The ends of the architecture's table, and the faults that stand for them here."""

WORDS = (
    {"whole", "supplied", "error", "none", "other", "429", "502", "503", "504"},
    {"OK", "UE", "UR", "UT", "UX", "UP", "UF", "CD", "CT", "DR"},
    {"reused", "shut", "gone"},
)


@dataclass(frozen=True)
class Cell:
    """One fault in one phase: what comes of it, or why it cannot be."""

    fault: str
    phase: str
    text: str

    @property
    def reason(self) -> str | None:
        return self.text.strip("()") if self.text.startswith("(") else None

    def outcome(self, client: str, upstream: str) -> str:
        """The same for these dialects."""
        where = [upstream] if client == upstream else [upstream, "translated"]
        found = [EXCEPTIONS.get((self.fault, self.phase, one)) for one in where]
        return next(filter(None, found), self.text)

    def __str__(self) -> str:
        return f"{self.fault}, {self.phase}"


def cells(table: str) -> dict[tuple[str, str], Cell]:
    header, *rows = [[word.strip() for word in line.split("|")] for line in table.strip("\n").splitlines()]
    return {
        (row[0], phase): Cell(row[0], phase, text)
        for row in rows
        for phase, text in zip(header[1:], row[1:], strict=True)
    }


CELLS = cells(TABLE)
CELLS_OF_TWO = cells(SECOND)


# --- streams ------------------------------------------------------------------------------------

TEXT = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
SAID = {**ITEM, "status": "completed", "content": [TEXT]}
TOKENS = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 4,
}

FINISH = {
    "chat": STOP,
    "messages": message("content_block_stop", index=0)
    + message(
        "message_delta",
        delta={"stop_reason": "end_turn", "stop_sequence": None},
        usage={"output_tokens": 1},
    ),
    "responses": message("response.output_text.done", sequence_number=4, **PLACE, text="Hello", logprobs=[])
    + message("response.content_part.done", sequence_number=5, **PLACE, part=TEXT)
    + message("response.output_item.done", sequence_number=6, output_index=0, item=SAID),
}
"""What says that the answer is complete, after ``BEGUN``."""

LAST = {
    "chat": DONE,
    "messages": message("message_stop"),
    "responses": message(
        "response.completed",
        sequence_number=7,
        response={**RESPONSE, "status": "completed", "output": [SAID], "usage": TOKENS},
    ),
}
"""The last word of a stream."""

ERRORS = {
    "chat": frame({"error": {"message": "slow down", "type": "requests", "param": None, "code": 429}}),
    "messages": message("error", error={"type": "rate_limit_error", "message": "slow down"}),
    "responses": message(
        "response.failed",
        sequence_number=9,
        response={
            **RESPONSE,
            "status": "failed",
            "error": {"code": "rate_limit_exceeded", "message": "slow down"},
        },
    ),
}
"""An upstream's own error event."""


def delta(dialect: str, text: str) -> bytes:
    """One more piece of text."""
    if dialect == "chat":
        return chat({"content": text})
    if dialect == "messages":
        return message("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
    return message("response.output_text.delta", sequence_number=4, **PLACE, delta=text, logprobs=[])
