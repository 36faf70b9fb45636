"""Prices, plans, freezes and the dates of holds in memory: what `services.wallet.storage` answers, without SQL."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.wallet.domain.audit import Freeze
from services.wallet.domain.credit import Hold, HoldState, Operation, Price
from services.wallet.domain.quota import Plan, Quota
from services.wallet.storage.hold import Dated
from tests.simulate.database import Table, Transaction
from tests.simulate.ledger_rows import MemoryLedger

_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class MemoryTerms:
    """The names of the methods are those of the storage modules `price`, `quota`, `audit` and `hold`."""

    ledger: MemoryLedger
    prices: Table = field(default_factory=lambda: Table("prices"))
    limits: Table = field(default_factory=lambda: Table("quotas"))
    freezes: Table = field(default_factory=lambda: Table("freezes"))

    def set_price(
        self, kind: str, amount: int, valid_from: datetime = _BEGINNING, steps: tuple[tuple[str, int], ...] = ()
    ) -> None:
        """Put another version into the price table."""
        version = 1 + sum(1 for other, _ in self.prices.rows if other == kind)
        self.prices.rows[kind, version] = Price(kind, amount, version, valid_from, steps)

    def set_limit(self, kind: str, runs: int) -> None:
        """Let the free plan have so many runs a day."""
        self.limits.rows[Plan.FREE, kind] = Quota(Plan.FREE, kind, runs)

    async def versions(self, tx: Transaction, kind: str) -> list[Price]:
        """Return the versions of a price, the newest first."""
        await tx.trip()
        found = [price for _, price in tx.scan(self.prices) if price.kind == kind]
        return sorted(found, key=lambda price: price.version, reverse=True)

    async def current(self, tx: Transaction, now: datetime) -> list[Price]:
        """Return the version of every price that holds at an instant, by kind."""
        await tx.trip()
        newest: dict[str, Price] = {}
        for _, price in sorted(tx.scan(self.prices)):
            if price.valid_from is None or price.valid_from <= now:
                newest[price.kind] = price
        return [newest[kind] for kind in sorted(newest)]

    async def of_hold(self, tx: Transaction, hold_id: str) -> Price | None:
        """Return the version of the price that a hold was made at; None when there is no such hold."""
        await tx.trip()
        hold: Hold | None = tx.get(self.ledger.holds, hold_id)
        price: Price | None = tx.get(self.prices, (hold.price_kind, hold.price_version)) if hold else None
        return price

    async def plan_of(self, tx: Transaction, _user_id: str) -> Plan:
        """Return the plan that a user is on."""
        await tx.trip()
        return Plan.FREE

    async def quotas(self, tx: Transaction, plan: Plan, kind: str | None = None) -> list[Quota]:
        """Return what a plan allows now."""
        await tx.trip()
        return [quota for (of, what), quota in tx.scan(self.limits) if of is plan and kind in {None, what}]

    async def used(self, tx: Transaction, user_id: str, start: datetime) -> dict[str, int]:
        """Return how many runs of each kind count since an instant."""
        await tx.trip()
        return dict(
            Counter(
                hold.price_kind
                for _, hold in tx.scan(self.ledger.holds)
                if hold.user_id == user_id
                and hold.state in {HoldState.HELD, HoldState.SETTLED}
                and self._made(tx, hold) >= start
            )
        )

    async def frozen(self, tx: Transaction, user_id: str) -> Freeze | None:
        """Return the freeze of a wallet, None while it may be used."""
        await tx.trip()
        freeze: Freeze | None = tx.get(self.freezes, user_id)
        return freeze

    async def open_of(self, tx: Transaction, user_id: str, *, most: int) -> tuple[int, list[str]]:
        """Return how many open holds a user has, and the ids of the oldest of them."""
        await tx.trip()
        found = sorted(
            hold.hold_id
            for _, hold in tx.scan(self.ledger.holds)
            if hold.user_id == user_id and hold.state is HoldState.HELD
        )
        return len(found), found[:most]

    async def due(self, tx: Transaction, now: datetime, *, most: int) -> list[str]:
        """Return the ids of open holds whose date has passed, the longest overdue first."""
        await tx.trip()
        found = [
            (hold.expire_time, hold.hold_id)
            for _, hold in tx.scan(self.ledger.holds)
            if hold.state is HoldState.HELD and hold.expire_time is not None and hold.expire_time <= now
        ]
        return [hold_id for _, hold_id in sorted(found)[:most]]

    async def lock(self, tx: Transaction, hold_id: str) -> Dated | None:
        """Return a hold locked until the transaction ends, None when there is none."""
        await tx.trip()
        hold: Hold | None = await tx.lock(self.ledger.holds, hold_id)
        return None if hold is None else Dated(hold, self._made(tx, hold))

    async def extend(self, tx: Transaction, hold_id: str, expire_time: datetime) -> None:
        """Move the date of a locked hold."""
        await tx.trip()
        hold: Hold = await tx.lock(self.ledger.holds, hold_id)
        tx.write(self.ledger.holds, hold_id, replace(hold, expire_time=expire_time))

    def _made(self, tx: Transaction, hold: Hold) -> datetime:
        at: datetime = tx.get(self.ledger.transfers, (Operation.HOLD, hold.hold_id)).create_time
        return at
