"""Who is outside: a checker of what people bring, a module of its own, chosen in the composition root."""

from typing import Protocol

from services.media.domain.content import Verdict


class ContentCheck(Protocol):
    """Judges sounds and pictures before they are kept."""

    async def judge(self, content_type: str, data: bytes) -> Verdict:
        """Return what is found in a playable sound or a clean picture; raises Unavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...
