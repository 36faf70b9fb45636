"""The doors and carriers that belong to others: what Auth asks of them, whoever they are."""

from dataclasses import dataclass, field
from typing import Protocol

from services.kit.errors import DomainError


@dataclass(frozen=True)
class WechatAccount:
    """Who came through the door of a mini-program; the key stays out of every `repr`."""

    open_id: str
    union_id: str
    session_key: str = field(repr=False)


class WechatDoor(Protocol):
    """Knows whose single-use login code it is."""

    async def exchange(self, code: str) -> WechatAccount:
        """Return the account; raises AuthProviderError when it is refused, out of reach or not configured."""
        ...


class WechatPhones(Protocol):
    """Knows whose phone a code of the button `getPhoneNumber` stands for."""

    async def phone_of(self, code: str) -> str:
        """Return the number with its country, `+8613800000000`; raises AuthProviderError."""
        ...


@dataclass(frozen=True)
class AppleAccount:
    """Who an identity token of Apple names: the same text for one person in all programs of one team."""

    subject: str = field(repr=False)


class AppleDoor(Protocol):
    """Knows whose identity token it is."""

    async def verify(self, identity_token: str, nonce: str) -> AppleAccount:
        """Return the account; raises AuthProviderError when it is refused, out of reach or not configured."""
        ...


class NotCarried(Exception):
    """A message was not handed over; `error` is what people are told.

    `certain` says that the carrier surely has not taken it, `again` that it may be offered once more.
    """

    def __init__(self, error: DomainError, *, certain: bool, again: bool) -> None:
        """Keep the three."""
        super().__init__(str(error))
        self.error = error
        self.certain = certain
        self.again = again and certain


class CodeSender(Protocol):
    """Carries codes to phones."""

    async def send(self, phone: str, code: str, *, message_id: str) -> str:
        """Return the carrier's id of the message it took; raises NotCarried. The phone is in E.164."""
        ...


@dataclass(frozen=True)
class Mail:
    """A letter as it goes out; nothing of it shows in a `repr` but its id."""

    message_id: str
    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)


class MailSender(Protocol):
    """Carries letters to mailboxes."""

    async def send(self, mail: Mail) -> str:
        """Return what the first server said when it took the letter; raises NotCarried."""
        ...
