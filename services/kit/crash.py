"""The places at which a process can be told to die, in one list.

The promise that nothing is lost or done twice is only as good as the moments at which it has been tried. Each act below
is a commit or a call to somebody else; the moments right before it and right after it are the crash points. The torture
(`make torture`) visits every one of them: it puts a file named after the point into the folder of CRASH_POINTS, and the
first process to come by takes the file and ends itself with SIGKILL. Without that setting a point costs one comparison.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path

BEFORE = "before"
AFTER = "after"
ARMED = ".armed"
DIED = ".died"
SEEN = ".seen"


class Act(Enum):
    """What can be cut off; the value says it in a sentence, the name is the name of its two points."""

    ACCOUNT_CREATE = "Auth commits a new person with the promise of the first credits."
    GRANT_CALL = "Auth calls Wallet for the first credits."
    GRANT_COMMIT = "Wallet commits the first credits."
    TRACK_CREATE = "Composer commits a track and its pending job."
    HOLD_CALL = "Composer calls Wallet to hold the price of a job."
    HOLD_COMMIT = "Wallet commits a hold."
    JOB_QUEUE = "Composer commits a paid job as queued."
    JOB_GIVE_UP = "Composer commits the removal of a job whose price could not be held."
    JOB_PUBLISH = "A job's pointer is pushed to the queue in Valkey."
    JOB_LEASE = "A worker commits its lease on a job."
    LEASE_EXTEND = "A worker commits a longer lease."
    TAKE_READ = "A worker fetches the take from Media."
    STEP_BEGIN = "A worker commits the beginning of a step."
    ENGINE_CALL = "A worker has a piece of work done by the music engine."
    SONG_STORE = "A worker calls Media to store what was made."
    STEP_FINISH = "A worker commits the result of a step."
    JOB_FINISH = "A worker commits the completion of a job, what was made, and the message that settles it."
    ATTEMPT_END = "A worker commits that an attempt ended without completing the job."
    JOB_SWEEP = "A sweeper commits what becomes of a job whose lease or time ran out."
    JOB_CANCEL = "Composer commits its owner's cancellation of a job."
    TRACK_DELETE = "Composer commits that a track is put away."
    OUTBOX_CLAIM = "A dispatcher commits its claim on messages of an outbox."
    OUTBOX_DONE = "A dispatcher commits how the delivery of a message went."
    SETTLE_CALL = "Composer calls Wallet to settle a hold."
    SETTLE_COMMIT = "Wallet commits a settlement."
    RELEASE_CALL = "Composer calls Wallet to release a hold."
    RELEASE_COMMIT = "Wallet commits a release."
    OBJECT_ANNOUNCE = "Media commits the key of an object that is about to be stored."
    OBJECT_PUT = "Media writes the bytes of an object."
    OBJECT_DELETE = "Media removes the bytes of an object."
    UPLOAD_COMMIT = "Media commits an uploaded asset and its queued job."
    ASSET_COMMIT = "Media commits an asset that a service made."
    TRANSCODE_BEGIN = "A worker commits that an asset is being processed."
    ASSET_DELETE = "Media commits the deletion of an asset."
    SHARE_CREATE = "Share commits a share."
    SHARE_REVOKE = "Share commits that a share is called back."
    GATEWAY_CALL = "The gateway hands a request on to a service."


class VendorAct(Enum):
    """What can be cut off while a vendor makes something; `make torture` has no vendors, their own trials go there."""

    VENDOR_ASK = "A worker commits that it is about to order from a vendor."
    VENDOR_SUBMIT = "A worker sends an order to a vendor."
    VENDOR_ACCEPT = "A worker commits the id that the vendor gave the order."
    VENDOR_FETCH = "A worker downloads what the vendor made."
    VENDOR_KEEP = "A worker commits what became of the order."


AnyAct = Act | VendorAct

VENDOR_POINTS = tuple(f"{side}-{act.name.lower()}" for act in VendorAct for side in ("before", "after"))
"""The names of the crash points around vendors."""

POINTS = tuple(f"{side}-{act.name.lower()}" for act in Act for side in (BEFORE, AFTER))
"""The names of all crash points."""

_folder: str | None = None
_seen: set[str] = set()


def arm(folder: Path | None) -> None:
    """Look for armed points in the folder from now on; None makes every point do nothing again."""
    global _folder  # noqa: PLW0603  # a point must cost nothing, so what it looks at is global
    _folder = None if folder is None else str(folder)
    _seen.clear()


def before(act: AnyAct) -> None:
    """Die here if the point before the act is armed."""
    if _folder is not None:
        _reached(f"{BEFORE}-{act.name.lower()}")


def after(act: AnyAct) -> None:
    """Die here if the point after the act is armed."""
    if _folder is not None:
        _reached(f"{AFTER}-{act.name.lower()}")


@contextmanager
def around(act: AnyAct) -> Iterator[None]:
    """Put both points around a block; a block that raises does not reach the second one."""
    before(act)
    yield
    after(act)


def _reached(point: str) -> None:
    """Note that the point was reached, and die if its file can be taken: of several processes one can."""
    path = f"{_folder}/{point}"
    if point not in _seen:
        _seen.add(point)
        with suppress(OSError):
            os.close(os.open(path + SEEN, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        os.rename(path + ARMED, f"{path}.{os.getpid()}{DIED}")  # noqa: PTH104  # the cheapest way to ask
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
