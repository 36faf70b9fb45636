"""What the owner of a song is told in their inbox, which Auth keeps, once it is ready or has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cadenza.auth.v1.notification_service_pb2 import Notification, NotifyRequest
from services.composer.storage import track
from services.composer.usecases.track import MUSIC
from services.kit.jobs.states import State
from services.kit.rpc.errors import calling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from cadenza.auth.v1.notification_service_pb2_grpc import NotificationServiceAsyncStub
    from services.kit.jobs.job import Job
    from services.kit.jobs.queue import EndHook
    from services.kit.jobs.store import JobStore

NOTIFY: Final = "notify"

_KINDS = {State.COMPLETED: Notification.KIND_SONG_READY, State.FAILED: Notification.KIND_SONG_FAILED}
_AUTH_S = 5.0
_LONGEST_TITLE = 256


def telling(store: JobStore) -> EndHook:
    """Return what promises a notice of a song in the transaction that ends its job; a cancelled one has none."""

    async def tell(tx: AsyncConnection, job: Job) -> None:
        kind = _KINDS.get(job.state)
        if job.kind != MUSIC or kind is None or not job.user_id:
            return
        song = await track.find(tx, job.subject_id)
        if song is None:
            return
        message = {"user_id": job.user_id, "kind": int(kind), "track_id": song.track_id, "title": song.title}
        await store.outbox.put(tx, NOTIFY, message, key=f"notify:{job.job_id}:{job.revivals}")

    return tell


class Notices:
    """Tells Auth, which tells nobody twice."""

    def __init__(self, inbox: NotificationServiceAsyncStub) -> None:
        self._inbox = inbox

    async def send(self, payload: Mapping[str, Any]) -> None:
        """Tell one person of one song; raises RemoteError, as outbox handlers do, to be asked again."""
        request = NotifyRequest(
            user_id=payload["user_id"],
            kind=payload["kind"],
            subject_id=payload["track_id"],
            title=str(payload["title"])[:_LONGEST_TITLE],
        )
        with calling():
            await self._inbox.Notify(request, timeout=_AUTH_S)
