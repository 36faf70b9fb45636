"""The public keys of Auth, kept here: fetched before they are needed, and believed while Auth is away.

Auth announces a key long before it signs with it and says how old a copy of the set may be, so a verifier that looks
again in time never meets a token of a key it has not heard of. Nobody waits for that look: it happens beside the calls.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.kit.errors import DomainError, Unavailable

Keys = Mapping[str, Ed25519PublicKey]

FRESH_S: Final = 300.0
# A flood of tokens with made-up key ids must not become a flood of calls to Auth.
_PAUSE_S: Final = 5.0
_PAUSE_FAILED_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Published:
    """What Auth says: its keys by id, and after how many seconds it wants to be asked again."""

    keys: Keys
    fresh_s: float = FRESH_S


KeySource = Callable[[], Awaitable[Published]]


class KeySet:
    """The keys by their ids."""

    def __init__(self, source: KeySource) -> None:
        """Fetch from `source`, first when a key is asked for."""
        self._source = source
        self._published: Published | None = None
        self._fetched = self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._problem: Exception | None = None

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the key, or None when Auth knows none of this id.

        An id that is not here is asked for: once for all who wait, and not again within five seconds, or half a one
        when Auth did not tell; that raises Unavailable or what Auth answered instead.
        """
        published, at = self._published, asyncio.get_running_loop().time()
        key = published.keys.get(key_id) if published is not None else None
        if key is not None:
            assert published is not None
            if at - self._fetched >= published.fresh_s and at - self._tried >= self._pause_s:
                self._begin()
            return key
        if self._fetching is None and at - self._tried >= self._pause_s:
            self._begin()
        if self._fetching is not None:
            # Whoever gives up does not take the answer away from the others.
            await asyncio.shield(self._fetching)
        if self._problem is not None:
            raise self._problem
        return self._published.keys.get(key_id) if self._published is not None else None

    @property
    def _pause_s(self) -> float:
        if self._problem is not None:
            return _PAUSE_FAILED_S
        fresh_s = FRESH_S if self._published is None else self._published.fresh_s
        return min(_PAUSE_S, fresh_s / 4)

    def _begin(self) -> None:
        if self._fetching is None:
            loop = asyncio.get_running_loop()
            self._tried = loop.time()
            # In a context of its own: it must not end with the deadline of the call that happened to begin it.
            self._fetching = loop.create_task(self._fetch(), context=contextvars.Context())

    async def _fetch(self) -> None:
        """Read the set anew; what was known stays when Auth is away: that takes down what is Auth's, and no more."""
        try:
            self._published = await self._source()
            self._fetched = asyncio.get_running_loop().time()
            self._problem = None
        except DomainError as error:
            self._problem = error
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait are told one thing
            self._problem = Unavailable("the keys that verify tokens are out of reach", dependency="auth")
            self._problem.__cause__ = error
        finally:
            self._fetching = None
