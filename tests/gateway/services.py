"""Services of a few lines that speak the real contracts, for the gateway to call in process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio

from cadenza.auth.v1 import session_service_pb2_grpc, user_service_pb2_grpc
from cadenza.composer.v1 import (
    job_service_pb2,
    job_service_pb2_grpc,
    track_service_pb2,
    track_service_pb2_grpc,
)
from cadenza.job.v1 import job_pb2
from cadenza.media.v1 import asset_service_pb2, asset_service_pb2_grpc
from cadenza.share.v1 import share_service_pb2_grpc
from cadenza.wallet.v1 import credit_service_pb2, credit_service_pb2_grpc
from services.kit.errors import AuthExpired, DomainError, NotFound, Unauthenticated
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.call import Call, Identity
from services.kit.rpc.deadlines import Deadlines
from services.kit.rpc.errors import Errors
from services.kit.rpc.identity import current_user
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.validation import Validation

TRACK = "018f0000-0000-7000-8000-000000000001"
JOB = "018f0000-0000-7000-8000-000000000002"
ASSET = "018f0000-0000-7000-8000-000000000003"


class InsufficientCredits(DomainError):
    """A reason with metadata."""

    reason = "INSUFFICIENT_CREDITS"


@asynccontextmanager
async def named_tokens(call: Call) -> AsyncIterator[None]:
    """Stand in for token verification: `Bearer alice` is Alice, `expired` and nothing are refused."""
    token = call.metadata.get("authorization", "").removeprefix("Bearer ")
    if call.method.service != "cadenza.auth.v1.SessionService":
        if token in {"", "forged"}:
            raise Unauthenticated("no valid token")
        if token == "expired":
            raise AuthExpired("the token has run out")
    call.identity = Identity(token, "session", frozenset(), "token")
    yield


class Credits(credit_service_pb2_grpc.CreditServiceServicer):
    """A wallet whose answer is set by the test."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.answer: Callable[[], Any] = lambda: credit_service_pb2.GetBalanceResponse(
            balance=credit_service_pb2.Balance(available_credits=100)
        )
        self.delay_s = 0.0
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.page: Any = None
        self.plan: Any = 0
        self.plan_asked = 0
        self.watched: list[str] = []

    async def WatchBalance(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802  # named by the contract
        """Stream the balance of whoever asks: seven times its place, beginning at the fifth."""
        user_id = current_user().user_id
        self.watched.append(user_id)
        number = request.after_sequence or 5
        while True:
            balance = credit_service_pb2.Balance(available_credits=7 * number)
            change = credit_service_pb2.BalanceChange(description=user_id)
            yield credit_service_pb2.WatchBalanceResponse(sequence=number, balance=balance, change=change)
            number += 1
            await asyncio.sleep(0.05)

    async def GetBalance(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Return what the test wants, when it wants it."""
        self.metadata = dict(context.invocation_metadata())
        self.asked.set()
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return self.answer()

    async def GetQuota(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Return the plan that the test has set, counting how often it is asked for."""
        self.plan_asked += 1
        if not self.plan:
            raise Unauthenticated("not a token of ours")
        return credit_service_pb2.GetQuotaResponse(plan=self.plan)

    async def ListEntries(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Return as many entries as were asked for."""
        self.page = request
        entries = [
            credit_service_pb2.Entry(entry_id=str(number), kind=credit_service_pb2.Entry.KIND_HOLD, amount_credits=-5)
            for number in range(request.page_size or 20)
        ]
        return credit_service_pb2.ListEntriesResponse(entries=entries, next_page_token="more")

    async def ListPrices(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Return a price."""
        return credit_service_pb2.ListPricesResponse(prices=[credit_service_pb2.Price(kind="music", amount_credits=20)])


class Tracks(track_service_pb2_grpc.TrackServiceServicer):
    """Tracks that remember the last request."""

    def __init__(self) -> None:
        self.request: Any = None

    async def CreateTrack(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Start a track named as asked."""
        self.request = request
        if request.title == "poor":
            raise InsufficientCredits("the balance does not cover the price", needed=20, available=10)
        track = track_service_pb2.Track(
            track_id=TRACK, title=request.title, state=track_service_pb2.Track.STATE_GENERATING
        )
        return track_service_pb2.CreateTrackResponse(track=track, track_id=TRACK, job_id=JOB)

    async def GetTrack(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Return Alice's track to Alice."""
        if current_user().user_id != "alice":
            raise NotFound("no such track")
        track = track_service_pb2.Track(track_id=request.track_id, title="晨曲" * 600, cost_credits=2**40)
        return track_service_pb2.GetTrackResponse(track=track)

    async def UpdateTrack(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Rename."""
        self.request = request
        return track_service_pb2.UpdateTrackResponse(track=track_service_pb2.Track(title=request.title))

    async def DeleteTrack(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Answer with nothing."""
        return track_service_pb2.DeleteTrackResponse()


class Jobs(job_service_pb2_grpc.JobServiceServicer):
    """One job of Alice's whose log the test writes."""

    def __init__(self) -> None:
        self.events: list[job_pb2.JobEvent] = []
        self.changed = asyncio.Event()
        self.calls: list[int] = []  # after_sequence of each stream that was opened
        self.reading = 0
        self.failure: DomainError | None = None

    def add(self, *, final: bool = False, message: str = "") -> None:
        """Append a line to the log."""
        number = len(self.events) + 1
        self.events.append(
            job_pb2.JobEvent(
                sequence=number, state=job_pb2.JOB_STATE_RUNNING, step="listen", message=message, final=final
            )
        )
        self.wake()

    def fail(self, error: DomainError) -> None:
        """Let every stream fail."""
        self.failure = error
        self.wake()

    def wake(self) -> None:
        """Let the streams look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def GetJob(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Return the job."""
        return job_service_pb2.GetJobResponse(job=job_pb2.Job(job_id=request.job_id, state=job_pb2.JOB_STATE_RUNNING))

    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802  # named by the contract
        """Stream the log: snapshot first, then what comes after `after_sequence`."""
        if current_user().user_id != "alice":
            raise NotFound("no such job")
        self.calls.append(request.after_sequence)
        self.reading += 1
        try:
            job = job_pb2.Job(job_id=request.job_id, state=job_pb2.JOB_STATE_RUNNING, sequence=len(self.events))
            yield job_service_pb2.WatchJobResponse(sequence=request.after_sequence, job=job)
            sent = request.after_sequence
            while True:
                for event in self.events[sent:]:
                    sent = event.sequence
                    yield job_service_pb2.WatchJobResponse(sequence=event.sequence, event=event)
                    if event.final:
                        return
                if self.failure is not None:
                    raise self.failure
                await self.changed.wait()
        finally:
            self.reading -= 1


class Assets(asset_service_pb2_grpc.AssetServiceServicer):
    """Takes uploads and counts what is on its way."""

    def __init__(self) -> None:
        self.header: Any = None
        self.received = 0
        self.sizes: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = asyncio.Event()
        self.refuse_after: int | None = None

    async def UploadAsset(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Count the bytes; wait at the gate before each piece."""
        self.received, self.sizes = 0, []
        try:
            async for message in request_iterator:
                await self.gate.wait()
                if message.HasField("header"):
                    self.header = message.header
                    continue
                self.received += len(message.chunk)
                self.sizes.append(len(message.chunk))
                if self.refuse_after is not None and self.received > self.refuse_after:
                    error = DomainError("not sound")
                    error.reason = "UPLOAD_FORMAT_INVALID"  # type: ignore[misc]  # one error of many kinds
                    raise error
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        asset = asset_service_pb2.Asset(asset_id=ASSET, size_bytes=self.received, filename=self.header.filename)
        return asset_service_pb2.UploadAssetResponse(asset=asset, asset_id=ASSET)


class Fakes:
    """The five services and the mesh they stand on."""

    def __init__(self) -> None:
        self.credits: Credits = _made(Credits)
        self.tracks: Tracks = _made(Tracks)
        self.jobs: Jobs = _made(Jobs)
        self.assets: Assets = _made(Assets)
        self.database_ping: Callable[[], Any] = _well
        self.mesh = LocalMesh()
        around = (Deadlines, Errors, named_tokens, Validation)
        for application in self._applications():
            self.mesh.add(application, around)

    def _applications(self) -> list[Application]:
        async def ping() -> None:
            await self.database_ping()

        auth = [
            Registered(session_service_pb2_grpc.add_SessionServiceServicer_to_server, _made(_Sessions)),
            Registered(user_service_pb2_grpc.add_UserServiceServicer_to_server, _made(_Users)),
        ]
        composer = [
            Registered(track_service_pb2_grpc.add_TrackServiceServicer_to_server, self.tracks),
            Registered(job_service_pb2_grpc.add_JobServiceServicer_to_server, self.jobs),
        ]
        wallet = [Registered(credit_service_pb2_grpc.add_CreditServiceServicer_to_server, self.credits)]
        media = [Registered(asset_service_pb2_grpc.add_AssetServiceServicer_to_server, self.assets)]
        share = [Registered(share_service_pb2_grpc.add_ShareServiceServicer_to_server, _made(_Shares))]
        return [
            Application("auth", auth),
            Application("composer", composer),
            Application("wallet", wallet, pings={"database": ping}),
            Application("media", media),
            Application("share", share),
        ]


class _Sessions(session_service_pb2_grpc.SessionServiceServicer):
    """Answers nothing."""


class _Users(user_service_pb2_grpc.UserServiceServicer):
    """Answers nothing."""


class _Shares(share_service_pb2_grpc.ShareServiceServicer):
    """Answers nothing."""


def _made(cls: Any) -> Any:
    """Return a servicer that implements only a part of its contract; the rest is UNIMPLEMENTED."""
    return cls()


async def _well() -> None:
    return


def rpc_error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    """Return an error as gRPC itself makes it, without any word of a service."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
