"""Files made to do harm, built by these modules and never kept: each is a name, its bytes and what may become of it."""

from collections.abc import Iterator
from dataclasses import dataclass

GOOD, REFUSED, EITHER = "good", "refused", "either"


@dataclass(frozen=True)
class Lure:
    """Where a file would lead a decoder that follows it: a file on this machine, and an address on it."""

    path: str = "/etc/passwd"
    address: str = "http://127.0.0.1:9/lure"


@dataclass(frozen=True)
class Hostile:
    """One file; `expected` is good, refused, or either where only the bounds matter."""

    name: str
    data: bytes
    expected: str = EITHER
    content_type: str = "application/octet-stream"


def corpus(lure: Lure, seed: int = 1) -> Iterator[Hostile]:
    """Yield every file, the same ones for the same seed."""
    from tests.media.hostile import bombs, headers, mutants, pictures, polyglots, references, scripts

    yield from scripts.files(lure)
    yield from references.files(lure)
    yield from polyglots.files()
    yield from bombs.files()
    yield from headers.files()
    yield from pictures.files(lure)
    yield from mutants.files(seed)
