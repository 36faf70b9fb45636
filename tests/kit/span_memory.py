"""A recorder that keeps every span in memory, for tests of where spans begin and what they say."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.kit import tracing
from services.kit.tracing import Kind, Place, Value


@dataclass
class Kept:
    """A span that was recorded; `error` is None while it is open and empty when it went well."""

    name: str
    kind: Kind
    trace_id: str
    span_id: str
    parent: str
    attributes: dict[str, Value]
    error: str | None = None

    def set(self, name: str, value: Value) -> None:
        """Add an attribute."""
        self.attributes[name] = value

    def end(self, error: str) -> None:
        """Close the span."""
        self.error = error


@dataclass
class Memory:
    """A recorder that keeps everything."""

    spans: list[Kept] = field(default_factory=list)

    def begin(
        self, name: str, *, kind: Kind, place: Place | None, span_id: str, attributes: Mapping[str, Value]
    ) -> Kept:
        """Begin a span with a number as its id."""
        trace_id = place.trace_id if place else "f" * 32
        own = span_id or f"{len(self.spans) + 1:016x}"
        self.spans.append(Kept(name, kind, trace_id, own, place.span_id if place else "", dict(attributes)))
        return self.spans[-1]

    def named(self, name: str) -> list[Kept]:
        """Return the spans of that name."""
        return [each for each in self.spans if each.name == name]


@contextmanager
def remembering() -> Iterator[Memory]:
    """Record into memory for the length of the block."""
    kept = Memory()
    tracing.record_with(kept)
    try:
        yield kept
    finally:
        tracing.record_with(None)
