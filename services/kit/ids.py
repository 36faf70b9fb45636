"""Ids of everything stored: UUID version 7, made here and not in the database.

PostgreSQL 15 has no `uuidv7()`, and an id known before the insert can be used as an
idempotency key. The layout is RFC 9562 section 5.7, with the monotonic random method of
section 6.2: ids made by one process sort in the order in which they were made.
"""

import os
import re
import threading
import time

_RANDOM_BITS = 74
_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class _Sequence:
    """The last id handed out; the next one is always greater, also when the clock steps back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = 0
        self._random = 0

    def advance(self) -> tuple[int, int]:
        """Return the 48-bit millisecond and the 74 bits that follow it."""
        fresh = int.from_bytes(os.urandom(10), "big") >> (80 - _RANDOM_BITS)
        with self._lock:
            millisecond = time.time_ns() // 1_000_000
            if millisecond > self._millisecond:
                # The top bit starts clear, which leaves room to count up within the millisecond.
                self._millisecond, self._random = millisecond, fresh >> 1
            else:
                self._random += 1 + (fresh & 0xFFFF_FFFF)
                if self._random >> _RANDOM_BITS:
                    self._millisecond, self._random = self._millisecond + 1, fresh >> 1
            return self._millisecond, self._random


_sequence = _Sequence()


def new_id() -> str:
    """Return a new UUIDv7 in its canonical lower-case text form, 36 characters."""
    millisecond, random = _sequence.advance()
    value = (millisecond & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | (random >> 62) << 64
    value |= 0b10 << 62 | random & ((1 << 62) - 1)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(text: str) -> bool:
    """Return whether the text is a canonical UUID of any version, so safe to hand to a query."""
    return _TEXT.fullmatch(text) is not None
