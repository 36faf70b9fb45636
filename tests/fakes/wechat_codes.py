"""The codes that phones are given for a login or for their number: five minutes each, and once. Facts: section 1."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.kit.clock import Clock

_LIFE_S = 300
_MOST_CODES = 10_000


@dataclass
class Code:
    """A code, whose it is, and what became of it; with a `phone` it is for that number and not for a login."""

    open_id: str
    union_id: str
    issued_s: float
    phone: str = ""
    used: bool = False


class Codes:
    """The codes handed out; the oldest are forgotten beyond ten thousand."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codes: dict[str, Code] = {}

    def new(self, open_id: str, union_id: str, phone: str) -> str:
        """Return a new code of this account."""
        while len(self._codes) >= _MOST_CODES:
            self._codes.pop(next(iter(self._codes)))
        code = "0" + secrets.token_urlsafe(24)[:31]
        self._codes[code] = Code(open_id, union_id, self._clock().timestamp(), phone)
        return code

    def fresh(self, code: str) -> Code | None:
        """Return the code if it was handed out within five minutes, used or not."""
        known = self._codes.get(code)
        return known if known and self._clock().timestamp() - known.issued_s <= _LIFE_S else None

    def spend(self, code: str) -> Code:
        """Return the code, which cannot be used again from now on; KeyError if it was never handed out."""
        known = self._codes[code]
        known.used = True
        return known
