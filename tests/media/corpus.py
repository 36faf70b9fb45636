"""The hostile corpus through the real way in: `python -m tests.media.corpus`.

Every file is uploaded over the contract and its job is run: it becomes an asset that can be played or
seen, or is refused with a number, within ten seconds and 512 MiB; then nothing of it is left. Where
strace is installed every program that met a file is recorded: none opens anything outside its folder.
"""

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
import grpc

from cadenza.error.v1.reason_pb2 import Reason
from cadenza.media.v1 import asset_service_pb2 as pb
from cadenza.media.v1.image_service_pb2 import UploadFileRequest
from cadenza.media.v1.image_service_pb2_grpc import ImageServiceStub
from services.kit.db.migrate import upgrade
from services.kit.rpc.errors import from_rpc
from services.media.config import Config
from services.mesh.postgres import Postgres
from services.mesh.valkey import Valkey
from tests.media.conftest import SECRET, Media, running
from tests.media.hostile import EITHER, GOOD, REFUSED, Hostile, corpus
from tests.media.lures import escapes, traced, watched
from tests.media.weighing import weighed

_PIECE = 64 * 1024
WITHIN_S = 10.0
WITHIN_MB = 512
# Answers about a file; anything else is a fault of ours.
_ABOUT_FILES = {"UPLOAD_FORMAT_INVALID", "UPLOAD_DURATION_INVALID", "UPLOAD_TOO_LARGE", "UPLOAD_INCOMPLETE"}


if TYPE_CHECKING:
    # The name exists for the type checker only.
    from cadenza.media.v1.image_service_pb2_grpc import ImageServiceAsyncStub


@dataclass
class Report:
    """How many files ended how, and what went wrong."""

    ends: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    slowest: str = ""
    # Resident memory of the largest program, and how many there were.
    largest_mb: float = 0.0
    programs: int = 0

    def take(self, file: Hostile, reason: str, seconds: float) -> None:
        """Count a file that ended with a reason, or with '' for a good asset."""
        end = REFUSED if reason else GOOD
        self.ends[reason or GOOD] += 1
        if seconds > self.slowest_s:
            self.slowest_s, self.slowest = seconds, file.name
        if file.expected not in {EITHER, end}:
            self.faults.append(f"{file.name}: expected {file.expected}, ended {reason or GOOD}")
        if reason and reason not in _ABOUT_FILES:
            self.faults.append(f"{file.name}: {reason}")
        if seconds > WITHIN_S:
            self.faults.append(f"{file.name}: took {seconds:.1f} s of processor time")


async def try_all(media: Media, files: list[Hostile], scratch: Path) -> Report:
    """Return how the files ended; each is uploaded, worked on and deleted before the next."""
    report = Report()
    with weighed(scratch.parent / "weights") as scales:
        for file in files:
            began = _spent_s()
            reason = await _one(media, file, report)
            report.take(file, reason, _spent_s() - began)
            if media.files() or os.listdir(scratch):  # noqa: PTH208  # a few names of a local folder
                report.faults.append(f"{file.name}: left something behind")
        weights = scales.weights_mb()
    report.programs, report.largest_mb = len(weights), max(weights, default=0.0)
    if report.largest_mb > WITHIN_MB:
        report.faults.append(f"a program took {report.largest_mb:.0f} MiB")
    return report


def _spent_s() -> float:
    """Return the processor time of this process and of its children that ended; a busy machine changes little."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


async def _one(media: Media, file: Hostile, report: Report) -> str:
    """Return the reason why the file was refused, '' when it became a good asset; nothing stays."""
    header = pb.UploadHeader(filename=file.name, content_type=file.content_type)
    stub, metadata = media.stub(), media.metadata(x_platform="web")
    files: ImageServiceAsyncStub = ImageServiceStub(media.mesh.peers("gateway").channel("media"))
    messages = [UploadFileRequest(header=header)]
    messages += [UploadFileRequest(chunk=file.data[at : at + _PIECE]) for at in range(0, len(file.data), _PIECE)]
    try:
        answer = await files.UploadFile(iter(messages), metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return from_rpc(error).reason
    await media.settle()
    asset = (await stub.GetAsset(pb.GetAssetRequest(asset_id=answer.asset_id), metadata=metadata)).asset
    await stub.DeleteAsset(pb.DeleteAssetRequest(asset_id=answer.asset_id), metadata=metadata)
    await media.settle()
    if asset.state == pb.Asset.STATE_FAILED:
        if asset.error.code != Reason.Value(f"REASON_{asset.error.reason}") or not asset.error.message:
            report.faults.append(f"{file.name}: no number or no sentence")
        return asset.error.reason
    if asset.state != pb.Asset.STATE_READY:
        return f"state {asset.state}"
    return ""


async def _run(config: Config, folder: Path, seed: int, *, trace: bool) -> Report:
    """Return how the whole corpus ended, with every touch of the lures and every escape among the faults."""
    scratch = folder / "scratch"
    scratch.mkdir()
    tempfile.tempdir = str(scratch)
    with watched(folder / "lures") as watch:
        files = list(corpus(watch.lure, seed))
        # Making the files reads one of them.
        async with running(config) as media:
            if not trace:
                report = await try_all(media, files, scratch)
            else:
                with traced(folder / "records") as records:
                    report = await try_all(media, files, scratch)
                report.faults += [f"{each.name}: {line}" for each in records for line in escapes(each)]
                click.echo(f"{len(records)} programs recorded")
        report.faults += watch.touched()
    return report


@click.command()
@click.option("--seed", default=1, show_default=True, help="of the mutants")
@click.option("--trace/--no-trace", default=False, help="record the system calls with strace")
def main(seed: int, *, trace: bool) -> None:
    """Try every file."""
    with tempfile.TemporaryDirectory(prefix="cadenza-corpus-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        postgres, valkey = Postgres(folder / "postgres", durable=False), Valkey(folder / "valkey")
        try:
            database_url, redis_url = postgres.start(), valkey.start()
            upgrade(database_url)
            config = Config(
                database_url=database_url,
                redis_url=redis_url,
                object_store_directory=folder / "objects",
                object_url_secret=SECRET,
                public_url="http://127.0.0.1:8080",
            )
            began = time.monotonic()
            report = asyncio.run(_run(config, folder, seed, trace=trace))
        finally:
            postgres.remove()
            valkey.remove()
    click.echo(f"{sum(report.ends.values())} files in {time.monotonic() - began:.0f} s: {dict(report.ends)}")
    click.echo(
        f"most processor time {report.slowest_s:.2f} s ({report.slowest}), "
        f"most memory of {report.programs} programs {report.largest_mb:.0f} MiB"
    )
    click.echo("\n".join(report.faults) or "no fault")
    sys.exit(bool(report.faults))


if __name__ == "__main__":
    main()
