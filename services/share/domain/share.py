"""A share: a code that lets anybody hear one track until it is called back or its time is over.

A share may ask for a password. Whoever knows it gets a ticket: the second at which it ends, and an HMAC of that and the
code. Its key is the hash that is kept of the password, so that a changed password ends every ticket.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from services.kit.errors import BusinessRule, NotFound, PermissionDenied

# Letters and digits without those that are taken for one another: 0 O o, 1 l I.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz"
# 56 to the tenth is 3e17: at a million shares one guess in 3e11 hits.
CODE_LENGTH = 10
_LETTERS = frozenset(ALPHABET)

TICKET_LIFE = timedelta(hours=12)
_TICKET = re.compile(r"(\d{1,12})\.([A-Za-z0-9_-]{43})")

# Guessing: how many wrong passwords within the window, from one place and from all places together. Most passwords of
# shares are short, and somebody who is sent a wrong one tries it a few times.
GUESS_WINDOW = timedelta(minutes=10)
GUESSES_OF_ONE = 5
GUESSES_OF_ALL = 100


class ShareNotFound(NotFound):
    """No share has this code, or it is another person's."""

    reason = "SHARE_NOT_FOUND"


class ShareRevoked(BusinessRule):
    """The share was called back, or its track is gone."""

    reason = "SHARE_REVOKED"


class ShareNotAllowed(BusinessRule):
    """The track cannot be shared in its present state."""

    reason = "SHARE_NOT_ALLOWED"


class ContentRejected(BusinessRule):
    """The rules for content do not allow the song to be shown."""

    reason = "CONTENT_REJECTED"


class ContentInReview(BusinessRule):
    """A person has to look at the song before it is shown."""

    reason = "CONTENT_IN_REVIEW"


class ShareExpired(BusinessRule):
    """The time of the share is over."""

    reason = "SHARE_EXPIRED"


class SharePasswordRequired(PermissionDenied):
    """The share is opened with a password, and no ticket of it came along."""

    reason = "SHARE_PASSWORD_REQUIRED"


class SharePasswordWrong(PermissionDenied):
    """The password is not that of the share."""

    reason = "SHARE_PASSWORD_WRONG"


class State(StrEnum):
    """Where a share stands; an active one whose time is over counts as expired without being written anew."""

    ACTIVE = "active"
    REVOKED = "revoked"
    TAKEN_DOWN = "taken_down"


@dataclass(frozen=True, kw_only=True)
class Share:
    """One person's share of one track; there is never a second one of the same track."""

    share_id: str
    share_code: str
    track_id: str
    user_id: str
    state: State
    view_count: int
    play_count: int
    create_time: datetime
    revoke_time: datetime | None
    # Whether its owner has put it on the public list, and under which style.
    listed: bool = False
    category: str = ""
    expire_time: datetime | None = None
    # Empty when nobody is asked for a password.
    password_hash: str = field(default="", repr=False)

    def expired(self, at: datetime) -> bool:
        """Return whether the time of the share is over."""
        return self.expire_time is not None and self.expire_time <= at

    def require_open(self, at: datetime) -> None:
        """Raise ShareRevoked when the share was called back, ShareExpired when its time is over."""
        if self.state is not State.ACTIVE:
            raise revoked(self.share_code)
        if self.expired(at):
            raise ShareExpired("the time of this share is over", share_code=self.share_code)

    def require_ticket(self, ticket: str, at: datetime) -> None:
        """Raise SharePasswordRequired unless the share has no password or this ticket opens it."""
        if self.password_hash and not self._opens(ticket, at):
            raise SharePasswordRequired("this share is opened with a password", share_code=self.share_code)

    def ticket(self, at: datetime) -> tuple[str, datetime]:
        """Return a ticket of the share and when it ends."""
        end = int((at + TICKET_LIFE).timestamp())
        return f"{end}.{self._mark(end)}", datetime.fromtimestamp(end, at.tzinfo)

    def _opens(self, ticket: str, at: datetime) -> bool:
        found = _TICKET.fullmatch(ticket)
        if found is None:
            return False
        end = int(found[1])
        return hmac.compare_digest(found[2], self._mark(end)) and at.timestamp() < end

    def _mark(self, end: int) -> str:
        made = hmac.new(self.password_hash.encode(), f"{self.share_code}.{end}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(made.digest()).decode().rstrip("=")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an owner changes of a share; None leaves it as it is.

    `lifetime_s` counts from now, 0 for no end; an empty `password` takes it off.
    """

    listed: bool | None = None
    lifetime_s: int | None = None
    password: str | None = field(default=None, repr=False)

    def expire_time(self, at: datetime) -> datetime | None:
        """Return when a share that is changed now ends."""
        return at + timedelta(seconds=self.lifetime_s) if self.lifetime_s else None


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


def place_of(share: Share, address: str) -> str:
    """Return what stands for a client's address while its wrong passwords are counted; another one for each share."""
    return hashlib.sha256(f"{share.share_id}|{share.password_hash}|{address}".encode()).hexdigest()


def revoked(share_code: str) -> ShareRevoked:
    """Return the error for a share that shows nothing any more."""
    message = "the share was called back"
    return ShareRevoked(message, share_code=share_code)
