"""Users and the ways they come in."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Provider(StrEnum):
    """The doors."""

    WEB = "web"
    WECHAT = "wechat"
    PHONE = "phone"
    EMAIL = "email"
    APPLE = "apple"


@dataclass(frozen=True)
class Identity:
    """One way to log in as a user."""

    identity_id: str
    provider: Provider
    create_time: datetime
    label: str = ""


@dataclass(frozen=True)
class User:
    """A person, whatever doors they come through."""

    user_id: str
    display_name: str
    roles: tuple[str, ...]
    disabled: bool
    create_time: datetime
    username: str = ""
    has_password: bool = False
    # It has become another user.
    merged: bool = False


@dataclass(frozen=True)
class Profile:
    """What a new user starts with."""

    display_name: str = ""
    avatar_url: str = ""


def identity_hash(provider: Provider, provider_id: str) -> bytes:
    """Return the 32 bytes under which an identity is stored, so that a copy of the table opens no door.

    A plain hash is enough because these ids are long and random. Phones and mailboxes could be guessed from it: theirs
    are keyed, by `pepper`.
    """
    return hashlib.sha256(f"cadenza.identity.v1\n{provider.value}\n{provider_id}".encode()).digest()
