"""Finding a row of a table by the words people use for it, in Chinese or English."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class Aliased(Protocol):
    """A row that goes by several names."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """The names, in lower case."""


_Row = TypeVar("_Row", bound=Aliased)


def best_match(text: str, table: Sequence[_Row]) -> _Row | None:
    """Return the row of `table` whose longest alias occurs in `text`, whatever its case, or None."""
    wanted = text.strip().casefold()
    hits = [(len(alias), row) for row in table for alias in row.aliases if alias in wanted]
    return max(hits, key=lambda hit: hit[0])[1] if hits else None
