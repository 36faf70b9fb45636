"""The vendors of songs with their stand-ins, each opened the same way, for tests that every one of them must pass."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from services.composer.domain.vendor import Limits
from services.composer.jobs.vendor import Manner, VendorLine
from services.composer.providers import DirectVendor, TaskVendor, VendorOrder, VendorSong
from services.composer.providers.ace_step import AceStep as AceStepVendor
from services.composer.providers.appraisal import appraise, compare
from services.composer.providers.minimax import MiniMax as MiniMaxVendor
from services.composer.providers.sound import ffmpeg_program
from services.composer.providers.suno import SunoStyle
from services.composer.storage.tables import vendor_tasks
from services.composer.usecases.vendor import VendorOrders
from services.kit.clock import now
from tests.fakes.ace_step import AceStep
from tests.fakes.minimax import MiniMax
from tests.fakes.stand_in import served
from tests.fakes.suno import Suno

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from services.composer.providers import Vendor
    from tests.composer.studio import Studio

Stand = Suno | MiniMax | AceStep

NAMES = ("suno", "kie", "minimax", "ace_step")
"""Every adapter, and the second dialect of the first one."""

WORDS = "[verse]\nA street in the morning light\n[chorus]\nAnd we sing until the night\n"
ORDER = VendorOrder(title="Ode", style="folk", mood="calm", lyrics=WORDS, voice="female", duration_s=30.0, seed=7)
KEY = "sk-canary-4711-key"


@dataclass
class Booth:
    """One vendor and what stands in for it."""

    vendor: Any
    stand: Any

    async def songs(self, order: VendorOrder = ORDER) -> tuple[VendorSong, ...]:
        """Return the songs of an order, however this vendor is waited for; raises as the vendor does."""
        if isinstance(self.vendor, DirectVendor):
            return await self.vendor.sing(order)
        assert isinstance(self.vendor, TaskVendor)
        task_id = await self.vendor.submit(order)
        for _ in range(1500):
            standing = await self.vendor.poll(task_id)
            if standing.songs:
                return standing.songs
            await asyncio.sleep(0.02)
        raise TimeoutError


def adapter(name: str, url: str, *, key: str = KEY, **settings: Any) -> Vendor:
    """Return the adapter of a name, pointed at a stand-in."""
    if name == "minimax":
        return MiniMaxVendor(url, key, model="music-2.6", **settings)
    if name == "ace_step":
        return AceStepVendor(url, key, **settings)
    dialect = "kie" if name == "kie" else "sunoapi"
    return SunoStyle(url, key, dialect=dialect, model="V4_5ALL", **({"window_s": 0.0} | settings))


def stand_in(name: str, **settings: Any) -> Stand:
    """Return the stand-in of a name, quick and with short songs unless told otherwise."""
    settings = dict[str, Any](key=KEY, seconds=0.05, song_s=1.0) | settings
    if name == "minimax":
        return MiniMax(**settings)
    if name == "ace_step":
        return AceStep(**settings)
    return Suno(dialect="kie" if name == "kie" else "sunoapi", most_orders=10_000, **settings)


class ThreadAppraiser:
    """Looks at songs as the engine's process does, without starting one for each."""

    async def appraise(self, mp3: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return what is measured on the sound."""
        return await asyncio.to_thread(appraise, mp3, ffmpeg=ffmpeg_program(""))

    async def compare(
        self, variants: dict[str, Any], picture: bytes, seed: int, stop: Callable[[], bool]
    ) -> tuple[dict[str, Any], bytes]:
        """Return the scores, the label to prefer, and a cover."""
        return await asyncio.to_thread(compare, variants, picture, seed)


def vendor_line(studio: Studio, names: str, *booths: Booth, **manner: Any) -> VendorLine:
    """Return the makers named with commas, in a hurry: songs may last a second, and little is waited for."""
    limits = Limits(shortest_s=0.5, wait=timedelta(seconds=manner.pop("wait_s", 20.0)))
    return VendorLine(
        names=names.split(","),
        vendors={each.vendor.name: each.vendor for each in booths},
        orders=VendorOrders(studio.db, now),
        appraiser=ThreadAppraiser(),
        manner=Manner(poll_s=0.02, again_s=0.01, limits=limits, **manner),
    )


async def orders_of(studio: Studio, job_id: str) -> list[tuple[str, str, str]]:
    """Return vendor, variants and state of each order of a job, the first one first."""
    query = select(vendor_tasks).where(vendor_tasks.c.job_id == job_id).order_by(vendor_tasks.c.vendor_task_id)
    async with studio.db.transaction() as tx:
        return [(row["vendor"], row["labels"], row["state"]) for row in (await tx.execute(query)).mappings()]


@asynccontextmanager
async def booth(name: str, **settings: Any) -> AsyncIterator[Booth]:
    """Run a vendor's stand-in and an adapter that speaks to it."""
    async with served(stand_in(name, **settings)) as stand:
        vendor = adapter(name, stand.url)
        try:
            yield Booth(vendor, stand)
        finally:
            await vendor.close()
