"""Lines of the login log, and which login its owner is told about."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.auth.domain.device import device_name
from services.auth.domain.session import Origin
from services.auth.domain.user import Provider

# So many logins before it say whether one is unusual.
COMPARED = 10
_IPV4_PREFIX = 16
_IPV6_PREFIX = 32


class Method(StrEnum):
    """What a person showed at the door."""

    DEVICE = "device"
    PASSWORD = "password"  # noqa: S105  # the name of a method
    CODE = "code"
    PROVIDER = "provider"


class Result(StrEnum):
    """How an attempt ended."""

    OK = "ok"
    WRONG = "wrong"
    LOCKED = "locked"
    DISABLED = "disabled"


@dataclass(frozen=True)
class LoginRecord:
    """One login, or an attempt at one."""

    login_id: str
    provider: Provider | None
    method: Method
    result: Result
    origin: Origin
    create_time: datetime


def is_unusual(origin: Origin, before: Sequence[LoginRecord]) -> bool:
    """Return whether a login is one to warn of: on a device, or from a network, that none of the last ten came from.

    The first login of a person is not, and neither is one of which nothing is known.
    """
    if not before:
        return False
    device, network = _device(origin), _network(origin.address)
    strange_device = bool(origin.agent) and all(_device(each.origin) != device for each in before)
    strange_network = network != "" and all(_network(each.origin.address) not in {network, ""} for each in before)
    return strange_device or strange_network


def _device(origin: Origin) -> tuple[str, str]:
    return origin.platform, device_name(origin.agent) or origin.agent


def _network(address: str) -> str:
    """Return the part of an address that a provider keeps when it gives a person another one; "" when unknown."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return ""
    prefix = _IPV4_PREFIX if known.version == 4 else _IPV6_PREFIX  # noqa: PLR2004  # the version of the protocol
    return str(ipaddress.ip_network((known, prefix), strict=False))
