"""The doors that belong to others: what Auth asks of them, whoever they are."""

from dataclasses import dataclass, field
from typing import Protocol


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
