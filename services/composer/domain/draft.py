"""Words while they are being written: pieces of text as lines of their job's log.

The log is numbered without gaps and can be read on from any place, so whoever reads it has the whole text, also after
a broken connection or the death of a worker. A draft is one beginning: when a model has to begin anew, the next pieces
belong to a draft with a higher number, and readers drop what they have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_PIECE = 400
"""Characters; a line of a log takes 500, and the rest is for the mark before them."""

_MARK = re.compile(r"draft (\d{1,6}) ([AB])\n", re.ASCII)


@dataclass(frozen=True)
class Piece:
    """Text that goes on where the piece of the same draft and label before it stopped."""

    draft: int
    label: str
    text: str

    @property
    def message(self) -> str:
        """Return the piece as a line of the log."""
        return f"draft {self.draft} {self.label}\n{self.text}"

    @classmethod
    def read(cls, message: str) -> Piece | None:
        """Return the piece that a line of the log holds, None for any other line."""
        mark = _MARK.match(message)
        return None if mark is None else cls(int(mark[1]), mark[2], message[mark.end() :])


@dataclass
class Drafts:
    """What was told so far of growing texts; `draft` is the number of the first one, `most` bounds all pieces."""

    draft: int
    most: int = 400
    _told: dict[str, str] = field(default_factory=dict)
    _count: int = 0

    def pieces(self, texts: Mapping[str, str]) -> list[Piece]:
        """Return what is new in the texts, and a new draft of all when one of them does not go on as it began.

        Pieces that were returned are not told again: whoever cannot write them down calls `forget`.
        """
        if any(not texts.get(label, "").startswith(told) for label, told in self._told.items()):
            self.draft += 1
            self._told.clear()
        found = []
        for label, text in sorted(texts.items()):
            at = len(self._told.get(label, ""))
            while at < len(text) and self._count < self.most:
                found.append(Piece(self.draft, label, text[at : at + LONGEST_PIECE]))
                at += LONGEST_PIECE
                self._count += 1
            self._told[label] = text[:at]
        return found

    def forget(self) -> None:
        """Begin a new draft next time, because a piece got lost."""
        self._told = {"A": "\0"}
