"""Guards: attempts counted before anything is looked at, and forgotten when they were right."""

import ipaddress

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain import guard as rules
from services.auth.domain.errors import AccountLocked
from services.auth.domain.pepper import Pepper
from services.auth.storage import guard as storage
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import RateLimited


class Guards:
    """What stands before passwords."""

    def __init__(self, db: Database, pepper: Pepper, clock: Clock) -> None:
        """Keep the collaborators."""
        self._db = db
        self._pepper = pepper
        self._clock = clock

    async def admit(self, account: str, address: str) -> None:
        """Count an attempt at an account from an address.

        Raises AccountLocked and RateLimited when there were too many; committed is the count either way.
        """
        wait_s = locked_s = 0
        async with self._db.transaction() as tx:
            if _is_counted(address):
                wait_s = await self._attempt(tx, self._address(address), most=rules.ADDRESS_FAILURES)
            if not wait_s:
                locked_s = await self._attempt(tx, self._account(account), most=rules.ACCOUNT_FAILURES)
        if wait_s:
            raise RateLimited("too many failures from this address", retry_after_s=wait_s)
        if locked_s:
            raise AccountLocked("too many wrong passwords", retry_after_s=locked_s)

    async def forgive(self, tx: AsyncConnection, account: str, address: str = "") -> None:
        """Forget the failures of an account and the one attempt of an address that was none."""
        if _is_counted(address):
            at, place = self._clock(), self._address(address)
            await storage.put(tx, place, rules.forgiven(await storage.lock(tx, place, at=at)), at=at)
        await storage.forget(tx, self._account(account))

    async def purge(self) -> int:
        """Return how many guards that nobody met for two days were removed."""
        async with self._db.transaction() as tx:
            return await storage.purge(tx, before=self._clock() - 2 * rules.FORGOTTEN)

    async def _attempt(self, tx: AsyncConnection, place: bytes, *, most: int) -> int:
        """Count one attempt; return for how many seconds it is not to be looked at, 0 when it is."""
        at = self._clock()
        guard = await storage.lock(tx, place, at=at)
        seconds = rules.locked_s(guard, at)
        if not seconds:
            await storage.put(tx, place, rules.attempt(guard, at, most=most), at=at)
        return seconds

    def _account(self, account: str) -> bytes:
        return self._pepper.hash("guard", "account", account)

    def _address(self, address: str) -> bytes:
        return self._pepper.hash("guard", "address", address)


def _is_counted(address: str) -> bool:
    """Return whether failures from an address are counted: whoever works on this machine is not limited by it."""
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
