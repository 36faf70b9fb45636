"""Who is outside of Share: the mini-program that shares are opened in."""

from datetime import datetime
from typing import Protocol


class MiniProgram(Protocol):
    """Makes ways into the mini-program."""

    async def code(self, scene: str, page: str) -> bytes:
        """Return a code to scan as PNG, which never ends; raises Unavailable."""
        ...

    async def scheme(self, query: str, page: str, at: datetime) -> tuple[str, datetime]:
        """Return a link to tap and when it ends; raises Unavailable."""
        ...
