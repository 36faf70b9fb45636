"""Phones, mailboxes and names: one spelling for each, so that one person has one account however they type it."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from services.auth.domain.user import Provider
from services.kit.errors import ParamInvalid

HOME_COUNTRY = "86"

_PUNCTUATION = re.compile(r"[\s().\-]")
_HOME_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# What mail systems take from each other in practice; quoted local parts and literal addresses are none of it.
_MAILBOX = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])"
)
_NAME = re.compile(r"[A-Za-z\u4e00-\u9fff][A-Za-z0-9._\-\u4e00-\u9fff]{2,31}")
_LONGEST_MAILBOX = 254


class Channel(StrEnum):
    """How a message travels."""

    SMS = "sms"
    EMAIL = "email"


@dataclass(frozen=True)
class Target:
    """Where messages go and who logs in by it, in the one spelling; the address stays out of every `repr`."""

    channel: Channel
    address: str = field(repr=False)

    @property
    def provider(self) -> Provider:
        """Return the door that a proof of this target opens."""
        return Provider.PHONE if self.channel is Channel.SMS else Provider.EMAIL

    @property
    def label(self) -> str:
        """Return what its owner knows it by, most of it covered."""
        if self.channel is Channel.SMS:
            shown = self.address.removeprefix(f"+{HOME_COUNTRY}")
            return f"{shown[:3]}****{shown[-4:]}"
        local, _, domain = self.address.partition("@")
        return f"{local[:1]}***@{domain}"


def phone(text: str, countries: tuple[str, ...] = (HOME_COUNTRY,)) -> Target:
    """Return a phone by its number; ParamInvalid for what is none, or of a country that no message goes to.

    A number without a country is one of mainland China. Other countries are shut until they are asked for: a message
    abroad can cost a hundred times as much, and whoever shares in that price asks for many.
    """
    plain = _PUNCTUATION.sub("", text)
    if plain.startswith("00"):
        plain = "+" + plain[2:]
    if _HOME_MOBILE.fullmatch(plain):
        plain = f"+{HOME_COUNTRY}{plain}"
    known = next((country for country in countries if plain.startswith(f"+{country}")), None)
    if not _E164.fullmatch(plain) or known is None:
        raise ParamInvalid.of("phone", "is not a phone number that messages go to")
    if known == HOME_COUNTRY and not _HOME_MOBILE.fullmatch(plain.removeprefix(f"+{HOME_COUNTRY}")):
        raise ParamInvalid.of("phone", "is not a mobile number")
    return Target(Channel.SMS, plain)


def mailbox(text: str) -> Target:
    """Return a mailbox by its address, in small letters; ParamInvalid for what is none."""
    plain = text.strip().lower()
    local = plain.partition("@")[0]
    dotted = local.startswith(".") or local.endswith(".") or ".." in local
    if len(plain) > _LONGEST_MAILBOX or dotted or not _MAILBOX.fullmatch(plain):
        raise ParamInvalid.of("email", "is not a mail address")
    return Target(Channel.EMAIL, plain)


def target(text: str, channel: str = "", *, countries: tuple[str, ...] = (HOME_COUNTRY,)) -> Target:
    """Return what a text means: a mailbox when it holds an @, else a phone; ParamInvalid also for the other channel."""
    found = mailbox(text) if "@" in text else phone(text, countries)
    if channel and found.channel != channel:
        raise ParamInvalid.of("channel", "does not fit the target")
    return found


def name(text: str) -> str:
    """Return a name to log in by, as it is kept; ParamInvalid when it breaks the rule of names."""
    plain = text.strip()
    if not _NAME.fullmatch(plain):
        raise ParamInvalid.of("username", "has 3 to 32 letters, digits, dots, dashes or underscores, a letter first")
    return plain


def is_name(text: str) -> bool:
    """Return whether a text can be a name to log in by; then it is neither a phone nor a mailbox."""
    return _NAME.fullmatch(text.strip()) is not None
