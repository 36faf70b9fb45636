"""The terms under which credits may be set aside: price, freeze, quota, cover, and for how long.

They are read under the lock of the user's accounts, in the transaction that writes the hold, so that of many holds at
the same time each is decided as if it were alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.errors import ParamInvalid
from services.wallet.domain import price as price_rules
from services.wallet.domain.credit import AccountKind, Price
from services.wallet.domain.errors import CreditsHeld, WalletFrozen
from services.wallet.domain.ledger import Account
from services.wallet.domain.quota import Day, Quota, day_of, require_run
from services.wallet.storage import audit as audit_storage
from services.wallet.storage import hold as hold_storage
from services.wallet.storage import price as price_storage
from services.wallet.storage import quota as quota_storage

# Of the jobs that hold the credits so many are named in a refusal.
_NAMED = 10


@dataclass(frozen=True)
class Terms:
    """How long quotes and holds last, and when a day of quotas begins."""

    quote_window: timedelta = timedelta(minutes=15)
    hold_expiry: timedelta = timedelta(days=1)
    hold_longest: timedelta = timedelta(days=30)
    utc_offset: timedelta = timedelta(hours=8)

    def expiry(self, asked: datetime | None, now: datetime) -> datetime:
        """Return when a hold made now expires; ParamInvalid for a date in the past or too far ahead."""
        until = self.lasting(asked, now)
        if until is None:
            raise ParamInvalid.of(
                "expire_time", f"must lie ahead, at most {self.hold_longest.total_seconds():.0f} seconds"
            )
        return until

    def lasting(self, asked: datetime | None, now: datetime) -> datetime | None:
        """Return when a hold made now expires; None for a date in the past or too far ahead."""
        if asked is None:
            return now + self.hold_expiry
        return asked if now < asked <= now + self.hold_longest else None

    def day(self, now: datetime) -> Day:
        """Return the day in which runs count."""
        return day_of(now, self.utc_offset)

    async def owed(self, tx: AsyncConnection, hold_id: str, finished_steps: Collection[str]) -> int:
        """Return what is owed for the steps at the price that was held, which never changes; 0 without such a hold."""
        price = await price_storage.of_hold(tx, hold_id)
        return 0 if price is None else price_rules.owed(price, finished_steps)

    async def price(self, tx: AsyncConnection, kind: str, version: int, now: datetime) -> Price:
        """Return what a run costs: the quoted version while it is good, else the current one for 0.

        Raises ParamInvalid for a kind without a price, PriceChanged.
        """
        versions = await price_storage.versions(tx, kind)
        return price_rules.quoted(versions, version, now, window=self.quote_window)

    async def require(
        self, tx: AsyncConnection, price: Price, accounts: Mapping[AccountKind, Account], now: datetime
    ) -> None:
        """Raise what keeps the user, whose accounts are locked, from one more run.

        That is WalletFrozen before QuotaExceeded before CreditsHeld; whether the balance is really too small is left
        to the decision itself.
        """
        user_id = accounts[AccountKind.USER].owner_id
        await require_usable(tx, user_id)
        await self._require_quota(tx, user_id, price.kind, now)
        available, held = accounts[AccountKind.USER].balance, accounts[AccountKind.USER_HELD].balance
        if available < price.amount <= available + held:
            holds, named = await hold_storage.open_of(tx, user_id, most=_NAMED)
            raise CreditsHeld(
                "other jobs hold the credits",
                needed=price.amount,
                available=available,
                held=held,
                holds=holds,
                job_ids=",".join(named),
            )

    async def _require_quota(self, tx: AsyncConnection, user_id: str, kind: str, now: datetime) -> None:
        plan = await quota_storage.plan_of(tx, user_id)
        quota = next(iter(await quota_storage.quotas(tx, plan, kind)), Quota(plan, kind, None))
        if quota.limit is not None:
            day = self.day(now)
            used = await quota_storage.used(tx, user_id, day.start)
            require_run(quota, used.get(kind, 0), day)


async def require_usable(tx: AsyncConnection, user_id: str) -> None:
    """Raise WalletFrozen while an administrator has stopped the wallet."""
    freeze = await audit_storage.frozen(tx, user_id)
    if freeze is not None:
        raise WalletFrozen(
            "the wallet is frozen",
            freeze_reason=freeze.reason,
            frozen_at=freeze.freeze_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
