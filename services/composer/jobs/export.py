"""The job that takes a finished variant apart: the song made again, its wav and its stems stored with Media."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.domain.errors import EngineChanged, ExportNotFound, RecipeMissing
from services.composer.providers import Stopped
from services.kit.jobs.errors import JobCancelled, JobFailed

if TYPE_CHECKING:
    from services.composer.providers import StemMaker
    from services.composer.usecases.export import Exports, Task
    from services.composer.usecases.making import Making
    from services.kit.jobs.runner import JobRun

STEP = "export_render"
"""The one step, after which nothing is left to do but to store."""


class ExportJob:
    """Runs the jobs of kind `export`."""

    def __init__(self, *, exports: Exports, making: Making, maker: StemMaker) -> None:
        self._exports = exports
        self._making = making
        self._maker = maker

    async def __call__(self, run: JobRun) -> None:
        """Make the export that the job names; raises JobFailed when its song cannot be made again."""
        try:
            task = await self._exports.task(run.params["export_id"])
            if run.lease_token > 1:
                await self._making.fence(task.track, run.lease_token)
            made = await run.step(STEP, (0, 99), lambda: self._make(run, task))
        except (ExportNotFound, RecipeMissing, EngineChanged) as error:
            raise JobFailed(error.reason, error.message, **error.metadata) from error
        except Stopped as error:
            raise JobCancelled from error
        async with run.finish({"export_id": task.export.export_id}) as tx:
            await self._exports.enter(
                tx, task.export.export_id, wav=made["wav"], stems_zip=made["stems_zip"], stems=made["stems"]
            )

    async def _make(self, run: JobRun, task: Task) -> dict[str, Any]:
        """Return the ids of the two stored files and the names of the stems."""
        apart = await self._maker.take_apart(task.order, task.engine, run.report, run.cancelled)
        label = task.order.label
        wav = await self._making.store(
            task.track,
            lease_token=run.lease_token,
            request_id=f"{task.export.job_id}:wav",
            kind=media_pb2.Asset.KIND_MUSIC,
            filename=f"{label}.wav",
            content_type="audio/wav",
            data=apart.wav,
        )
        stems_zip = await self._making.store(
            task.track,
            lease_token=run.lease_token,
            request_id=f"{task.export.job_id}:stems",
            kind=media_pb2.Asset.KIND_DOCUMENT,
            filename=f"{label} stems.zip",
            content_type="application/zip",
            data=apart.stems_zip,
        )
        return {"wav": wav, "stems_zip": stems_zip, "stems": list(apart.stems)}
