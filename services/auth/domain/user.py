"""Users and the ways they come in."""

import hashlib
from dataclasses import dataclass, field
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
    # The user that it has become.
    merged_into: str = ""
    avatar_url: str = ""
    # When it is to be erased, and whether it was.
    erase_time: datetime | None = None
    erased: bool = False

    @property
    def merged(self) -> bool:
        """Return whether it has become another user."""
        return self.merged_into != ""


@dataclass(frozen=True)
class Profile:
    """What a new user starts with."""

    display_name: str = ""
    avatar_url: str = ""


@dataclass(frozen=True)
class About:
    """What a person says of themselves."""

    first_name: str = field(default="", repr=False)
    last_name: str = field(default="", repr=False)
    bio: str = field(default="", repr=False)
    time_zone: str = ""
    language: str = ""


def identity_hash(provider: Provider, provider_id: str) -> bytes:
    """Return the 32 bytes under which an identity is stored, so that a copy of the table opens no door.

    A plain hash is enough because these ids are long and random. Phones and mailboxes could be guessed from it: theirs
    are keyed, by `pepper`.
    """
    return hashlib.sha256(f"cadenza.identity.v1\n{provider.value}\n{provider_id}".encode()).digest()
