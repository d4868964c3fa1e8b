"""The bytes of a frame about which a dialect has decided: its own, patched ones, comments, new ones.

Of a frame with changes noted on it only the changed values are written. Where they have the length
of the old ones the buffer that it came in is patched, and nothing is copied.
"""

from __future__ import annotations

from relay.dialects.frame import REMOVED, Frame
from relay.wire import edit, sse
from relay.wire.framing import Buffer


def bytes_of(frame: Frame) -> Buffer:
    """The bytes that leave for a frame."""
    raw = frame.raw
    if raw is None:
        return encode(frame)
    if not frame.changed:
        return raw
    if frame.silenced:
        return silenced(raw)
    text = bytearray(raw)
    try:
        _change(text, frame)
    except edit.NotFound:
        return encode(frame)
    if len(text) == len(raw) and isinstance(raw, memoryview) and not raw.readonly:
        raw[:] = text
        return raw
    return text


def _change(text: bytearray, frame: Frame) -> None:
    """Apply the noted changes to the frame's bytes; NotFound when it is not in a form for that."""
    begin, name = sse.payload_at(text, 0, len(text))
    if begin < 0:
        fields = sse.read_fields(text, 0, len(text))
        if fields.pieces != 1 or frame.renamed:
            raise edit.NotFound("a payload in one line")
        begin = fields.payload[0]
    for path, value, there in frame.edits:
        if value is REMOVED:
            edit.remove(text, path, begin, there=there)
        else:
            edit.set_value(text, path, value, begin, there=there)
    if frame.renamed:
        sse.rename(text, frame.event, name, begin)


def encode(frame: Frame) -> bytes:
    """A frame written anew."""
    payload = b"[DONE]" if frame.payload is None else edit.dumps(frame.payload)
    return sse.write_frame(frame.event, payload)


def silenced(raw: Buffer) -> Buffer:
    """The same frame as comments."""
    if isinstance(raw, memoryview) and not raw.readonly:
        sse.silence(raw)
        return raw
    text = bytearray(raw)
    sse.silence(text)
    return text
