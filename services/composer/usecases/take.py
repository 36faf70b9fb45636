"""Takes heard before anything is made of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.composer.domain.errors import GenerateBusy
from services.composer.domain.take import Hearing
from services.composer.storage import take as storage
from services.composer.usecases.recording import check_recording, read_recording

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceAsyncStub
    from services.composer.providers import Ear

_AT_ONCE = 2
"""Takes that one process hears at the same time; it has other things to do."""
_MOST = 16
"""Takes that may be heard or wait for it in one process."""


class Hearings:
    """Hears takes while their owners wait.

    It is no job: it costs nothing, and the same take is always heard alike, so that whoever was not answered asks
    again. Two who ask of the same take at the same time are answered by one hearing, which goes on when they leave.
    """

    def __init__(self, *, media: AssetServiceAsyncStub, ear: Ear, redis: Redis) -> None:
        self._media = media
        self._ear = ear
        self._redis = redis
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._running: dict[str, asyncio.Task[Hearing]] = {}
        self._stopping = False

    async def hear(self, user_id: str, asset_id: str) -> Hearing:
        """Return what is heard in the user's ready recording.

        Raises ParamInvalid for another kind of asset, AssetNotReady, GenerateBusy while too many are waiting, and
        ProviderFailed.
        """
        # Before anything that was kept, because it is its owner's alone.
        await check_recording(self._media, user_id, asset_id)
        if (known := await storage.find(self._redis, asset_id)) is not None:
            return known
        task = self._running.get(asset_id)
        if task is None:
            if len(self._running) >= _MOST:
                raise GenerateBusy("too many takes are being heard", limit=_MOST, scope="system")
            task = asyncio.create_task(self._heard(user_id, asset_id), name=f"hear {asset_id}")
            self._running[asset_id] = task
            task.add_done_callback(lambda done: self._forget(asset_id, done))
        return await asyncio.shield(task)

    def _forget(self, asset_id: str, done: asyncio.Task[Hearing]) -> None:
        self._running.pop(asset_id, None)
        if not done.cancelled():
            done.exception()  # which whoever still waits is told of

    async def _heard(self, user_id: str, asset_id: str) -> Hearing:
        async with self._gate:
            take = await read_recording(self._media, user_id, asset_id)
            heard = Hearing.of(await self._ear.hear(take, lambda: self._stopping))
        await storage.keep(self._redis, asset_id, heard)
        return heard

    async def stop(self) -> None:
        """End what is being heard."""
        self._stopping = True
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
