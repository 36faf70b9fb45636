"""Passwords as argon2id hashes, computed beside the event loop and only a few at a time.

The parameters are OWASP's first choice (Password Storage Cheat Sheet: 19 MiB, two passes, one lane). A hash takes a
core for tens of milliseconds, so the threads that make them are few, and who waits for one too long is turned away:
a flood of logins must not take the process with it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from services.kit.errors import Unavailable

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1

_THREADS: Final = 2
_MOST_WAITING: Final = 64
_Made = TypeVar("_Made")


class Passwords:
    """Makes and checks hashes of passwords."""

    def __init__(self) -> None:
        """Hash with the parameters above; older hashes with others are still checked."""
        self._hasher = PasswordHasher(
            time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, hash_len=32, salt_len=16, type=Type.ID
        )
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return the hash in its PHC form, with a salt of its own; raises Unavailable when too many wait."""
        return await self._run(self._hasher.hash, password)

    async def matches(self, stored: str, password: str) -> bool:
        """Return whether the password made this hash; what is no hash of ours matches nothing."""
        return await self._run(self._verify, stored, password)

    def is_outdated(self, stored: str) -> bool:
        """Return whether the hash was made with other parameters than today's."""
        try:
            return self._hasher.check_needs_rehash(stored)
        except InvalidHashError:
            return True

    def close(self) -> None:
        """End the threads; hashes that wait are given up."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., _Made], *given: str) -> _Made:
        if self._waiting >= _MOST_WAITING:
            raise Unavailable("too many passwords are checked at the moment", retry_after_s=1)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)
        finally:
            self._waiting -= 1
