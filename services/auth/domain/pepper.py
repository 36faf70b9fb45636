"""Keyed hashes of what could be guessed: phones, mailboxes, codes, addresses.

A copy of the database without the key tells neither a phone nor a code, although there are so few of both that every
one could be tried. Each encryption key gives a key of its own for this; the newest one writes, all of them find.
"""

import hashlib
import hmac
from collections.abc import Sequence

_LABEL = b"cadenza.pepper.v1"


class Pepper:
    """Hashes under the keys that are known."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Write with the first key and find with any; ValueError without one."""
        if not keys:
            msg = "a key is needed"
            raise ValueError(msg)
        self._keys = [hmac.digest(key, _LABEL, "sha256") for key in keys]

    @classmethod
    def from_hex(cls, current: str, old: str = "") -> "Pepper":
        """Return it for keys written in hex, the old ones separated by commas."""
        return cls([bytes.fromhex(each.strip()) for each in (current, *old.split(",")) if each.strip()])

    def hash(self, kind: str, *parts: str) -> bytes:
        """Return the 32 bytes to write for a value of one kind."""
        return _hash(self._keys[0], kind, parts)

    def hashes(self, kind: str, *parts: str) -> tuple[bytes, ...]:
        """Return the hashes under which the value may have been written, today's first."""
        return tuple(_hash(key, kind, parts) for key in self._keys)

    def matches(self, stored: bytes, kind: str, *parts: str) -> bool:
        """Return whether the stored hash is of this value, in a time that tells nothing."""
        found = [hmac.compare_digest(stored, each) for each in self.hashes(kind, *parts)]
        return any(found)


def _hash(key: bytes, kind: str, parts: tuple[str, ...]) -> bytes:
    # Each part is hashed first, so that no two lists of parts make one message.
    message = b"".join(hashlib.sha256(part.encode()).digest() for part in (kind, *parts))
    return hmac.digest(key, message, "sha256")
