"""Which of the signing keys signs now and which are still published.

A new key is announced before it signs, so that nobody meets a token of a key they could not
have heard of; an old one stays published until the last token it signed has run out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

# Longer than any copy of the key set is kept, here or in a verifier.
ANNOUNCED = timedelta(minutes=10)


@dataclass(frozen=True)
class SigningKey:
    """One Ed25519 key: 32 bytes public, 32 bytes private."""

    key_id: str
    public_key: bytes
    private_key: bytes = field(repr=False)
    create_time: datetime


def signer(keys: Sequence[SigningKey], at: datetime, announced_for: timedelta = ANNOUNCED) -> SigningKey:
    """Return the newest key that has been announced long enough, the oldest one when none has."""
    ordered = _oldest_first(keys)
    announced = [key for key in ordered if at - key.create_time >= announced_for]
    return announced[-1] if announced else ordered[0]


def published(
    keys: Sequence[SigningKey], at: datetime, access_ttl: timedelta, announced_for: timedelta = ANNOUNCED
) -> list[SigningKey]:
    """Return the keys that may have signed a token which is still good, the newest first."""
    ordered = _oldest_first(keys)
    # A key stops signing once the next one is announced; both margins allow for clocks and caches.
    last_use = [key.create_time + 2 * announced_for for key in ordered[1:]]
    kept = [key for key, end in zip(ordered, last_use, strict=False) if end + access_ttl > at]
    return [ordered[-1], *reversed(kept)] if ordered else []


def is_due(keys: Sequence[SigningKey], at: datetime, longest: timedelta) -> bool:
    """Return whether a new key is to be made: there is none, or the newest is older than `longest`."""
    return not keys or at - max(key.create_time for key in keys) >= longest


def _oldest_first(keys: Sequence[SigningKey]) -> list[SigningKey]:
    return sorted(keys, key=lambda key: (key.create_time, key.key_id))
