"""A share: a code that lets anybody hear one track until it is called back."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.kit.errors import BusinessRule, NotFound

# Letters and digits without those that are taken for one another: 0 O o, 1 l I.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz"
# 56 to the tenth is 3e17: at a million shares one guess in 3e11 hits.
CODE_LENGTH = 10
_LETTERS = frozenset(ALPHABET)


class ShareNotFound(NotFound):
    """No share has this code, or it is another person's."""

    reason = "SHARE_NOT_FOUND"


class ShareRevoked(BusinessRule):
    """The share was called back, or its track is gone."""

    reason = "SHARE_REVOKED"


class ShareNotAllowed(BusinessRule):
    """The track cannot be shared in its present state."""

    reason = "SHARE_NOT_ALLOWED"


class State(StrEnum):
    """Where a share stands."""

    ACTIVE = "active"
    REVOKED = "revoked"


@dataclass(frozen=True, kw_only=True)
class Share:
    """One person's share of one track; there is never a second one of the same track."""

    share_id: str
    share_code: str
    track_id: str
    user_id: str
    state: State
    view_count: int
    create_time: datetime
    revoke_time: datetime | None
    # Whether its owner has put it on the public list, and under which style.
    listed: bool = False
    category: str = ""

    def require_open(self) -> None:
        """Raise ShareRevoked when the share was called back."""
        if self.state is not State.ACTIVE:
            raise revoked(self.share_code)


@dataclass(frozen=True)
class Syllable:
    """One sung syllable, its times in milliseconds from the start of the song."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Line:
    """One sung line, its times in milliseconds from the start of the song."""

    text: str
    start_ms: int
    end_ms: int
    syllables: tuple[Syllable, ...]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One version of a track, as far as a listener sees it."""

    variant_id: str
    audio_url: str
    duration_ms: int
    style: str
    key: str
    tempo_bpm: float
    peaks: tuple[int, ...]
    chords: tuple[str, ...]
    recommended: bool
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the page of a share shows."""

    share: Share
    title: str
    cover_url: str
    lyrics: str
    variant: Variant
    # Who made the music.
    provider: str = ""


def new_code() -> str:
    """Return a code that nobody can guess."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def is_code(text: str) -> bool:
    """Return whether the text could be a code at all."""
    return len(text) == CODE_LENGTH and _LETTERS.issuperset(text)


def link(public_url: str, share_code: str) -> str:
    """Return the address of a share's page."""
    return f"{public_url.rstrip('/')}/s/{share_code}"


def pick(variants: Sequence[Variant], chosen_variant_id: str) -> Variant | None:
    """Return the variant a listener hears: the chosen one, else the recommended one, else the first."""
    playable = [variant for variant in variants if variant.audio_url]
    for variant in playable:
        if variant.variant_id == chosen_variant_id:
            return variant
    for variant in playable:
        if variant.recommended:
            return variant
    return playable[0] if playable else None


def revoked(share_code: str) -> ShareRevoked:
    """Return the error for a share that shows nothing any more."""
    message = "the share was called back"
    return ShareRevoked(message, share_code=share_code)
