"""How events are written: as server-sent events, as lines of JSON, as one JSON array, or as messages of a socket.

Every form tells the same events: `snapshot` first, then `change`, and at last `end`, or `error` with the envelope of
what went wrong; `reset` when the client must forget what it has, `draining` when it is to connect again. Where there
is no SSE each event is an object `{"event", "id", "data"}`; `id` is the sequence to go on after.

A line of a shared feed is written once in each form, whoever reads it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

EVENT_STREAM: Final = "text/event-stream"
LINES: Final = "application/x-ndjson"
ARRAY: Final = "application/json"


@dataclass(slots=True, eq=False)
class Line:
    """One event: its name, its place in the stream if it has one, and its data as one line of JSON."""

    name: str
    sequence: int | None = None
    data: bytes = b""
    _written: dict[str, bytes] = field(default_factory=dict)

    def written(self, form: str, write: Callable[["Line"], bytes]) -> bytes:
        """Return the event as the form writes it, which it does once."""
        done = self._written.get(form)
        if done is None:
            done = self._written[form] = write(self)
        return done


HEARTBEAT: Final = Line("heartbeat")
DRAINING: Final = Line("draining")
END: Final = Line("end", data=b"{}")


@dataclass(frozen=True, slots=True)
class Form:
    """A way of writing events into the body of an answer."""

    name: str
    write: Callable[[Line], bytes]
    before: bytes  # ahead of the first event
    between: bytes  # at the beginning of every event but the first
    after: bytes  # behind the last event, whatever that was

    def opening(self, lines: Sequence[Line]) -> bytes:
        """Return the first events of a stream."""
        return self.before + self.going_on(lines).removeprefix(self.between)

    def going_on(self, lines: Sequence[Line]) -> bytes:
        """Return later events."""
        return b"".join([line.written(self.name, self.write) for line in lines])


def as_object(line: Line) -> bytes:
    """Return the event as one JSON object."""
    place = b"" if line.sequence is None else b',"id":%d' % line.sequence
    data = b',"data":' + line.data if line.data else b""
    return b'{"event":"' + line.name.encode() + b'"' + place + data + b"}"


def tagged(line: Line, tag: str) -> str:
    """Return the event as a message of a socket, which says whose it is."""
    return '{"tag":' + orjson.dumps(tag).decode() + "," + line.written("object", as_object)[1:].decode()


def _as_sse(line: Line) -> bytes:
    """Return the event as WHATWG HTML section 9.2 has it; silence and draining are comments, which no page sees."""
    if line is HEARTBEAT:
        return b": heartbeat\n\n"
    if line is DRAINING:
        return b": draining, connect again\n\n"
    place = b"" if line.sequence is None else b"id: %d\n" % line.sequence
    return place + b"event: %s\ndata: %s\n\n" % (line.name.encode(), line.data)


def _as_line(line: Line) -> bytes:
    return as_object(line) + b"\n"


def _as_item(line: Line) -> bytes:
    # Between the items of an array white space means nothing, so silence can be broken by it.
    return b"\n" if line is HEARTBEAT else b",\n" + as_object(line)


FORMS: Final = {
    EVENT_STREAM: Form("sse", _as_sse, b"retry: 2000\n\n", b"", b""),
    LINES: Form("line", _as_line, b"", b"", b""),
    ARRAY: Form("item", _as_item, b"[\n", b",\n", b"\n]\n"),
}
FORMS["application/jsonl"] = FORMS["application/ndjson"] = FORMS[LINES]
# In the order of preference when the client has none.
OFFERS: Final = (EVENT_STREAM, LINES, "application/ndjson", "application/jsonl", ARRAY)
