"""What a user may still have today, as its owner sees it."""

from datetime import timedelta

from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.wallet.domain.credit import Price
from services.wallet.domain.quota import Plan, Quota, QuotaUse, day_of
from services.wallet.storage import price as price_storage
from services.wallet.storage import quota as storage


class Quotas:
    """Plans, limits and prices as people read them."""

    def __init__(self, db: Database, clock: Clock, *, utc_offset: timedelta) -> None:
        """Keep the collaborators; days begin at midnight in the zone that is `utc_offset` ahead of UTC."""
        self._db = db
        self._clock = clock
        self._utc_offset = utc_offset

    async def of(self, user_id: str) -> tuple[Plan, list[QuotaUse]]:
        """Return the plan of a user, and each kind of work that has a price with what is allowed and used today."""
        now = self._clock()
        day = day_of(now, self._utc_offset)
        async with self._db.transaction() as tx:
            plan = await storage.plan_of(tx, user_id)
            limits = {quota.kind: quota for quota in await storage.quotas(tx, plan)}
            used = await storage.used(tx, user_id, day.start)
            kinds = [price.kind for price in await price_storage.current(tx, now)]
        return plan, [QuotaUse(limits.get(kind, Quota(plan, kind, None)), used.get(kind, 0), day) for kind in kinds]

    async def prices(self) -> list[Price]:
        """Return what each kind of work costs now."""
        async with self._db.transaction() as tx:
            return await price_storage.current(tx, self._clock())
