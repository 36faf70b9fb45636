"""The users of one round: they submit, watch, cancel, repeat, delete and share, and write down what they were told.

A user gives up nothing: whatever fails without a refusal is asked again under the same idempotency key, as a good
client does. What was acknowledged is what the check holds the mesh to.
"""

import asyncio
import io
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import grpc.aio

from cadenza.composer.v1 import job_service_pb2, track_service_pb2
from cadenza.composer.v1.job_service_pb2_grpc import JobServiceStub
from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceStub
from services.kit.ids import new_id
from services.kit.rpc.channel import MtlsPeers
from services.kit.rpc.errors import from_rpc
from services.mesh.client import ApiError, Client

T = TypeVar("T")

PAUSE_S = 0.2
LONGEST_PAUSE_S = 1.0
LONGEST_CALL_S = 12.0
BUSY = 40001
INTERNAL = 500
TOO_MANY = 429
HABITS = ("listen", "listen", "listen", "follow", "poll", "cancel", "cancel", "delete", "share", "leave")
AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


@dataclass
class Wish:
    """One song that a user asked for, and everything the mesh said about it."""

    key: str
    user_id: str
    habit: str
    by_grpc: bool
    answers: list[tuple[str, str]] = field(default_factory=list)
    refusal: str = ""
    taken_back: str = ""
    watched: list[int] = field(default_factory=list)
    saw_final: bool = False
    cancelled: bool = False
    deleted: bool = False
    share_code: str = ""

    @property
    def job_id(self) -> str:
        """The job, once a submit was acknowledged."""
        return self.answers[0][1] if self.answers else ""

    @property
    def track_id(self) -> str:
        """The track, once a submit was acknowledged."""
        return self.answers[0][0] if self.answers else ""


@dataclass
class Round:
    """What the users of a round remember together."""

    wishes: list[Wish] = field(default_factory=list)
    balances: dict[str, tuple[int, int]] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)
    internal: list[str] = field(default_factory=list)
    retries: int = 0


class Gone(Exception):
    """The round is over before the mesh has answered."""


class Singer:
    """One user."""

    def __init__(self, client: Client, peers: MtlsPeers, rng: random.Random, told: Round, over: asyncio.Event) -> None:
        self.client = client
        self.user_id = ""
        self.last_trouble = ""
        self._tracks: Any = TrackServiceStub(peers.channel("composer"))
        self._jobs: Any = JobServiceStub(peers.channel("composer"))
        self._rng = rng
        self._told = told
        self._over = over

    async def live(self, take: bytes, wishes: int, length_s: float) -> None:
        """Arrive, send the take, and ask for as many songs within the time, some at once."""
        device = new_id()
        self.user_id = (await self.insist(lambda: self.client.login(device)))["user_id"]
        await self.until(self.credits, lambda found: sum(found) > 0)
        asset_id = await self._send(take)
        self._told.assets[asset_id] = self.user_id
        await self.until(lambda: self._asset_state(asset_id), lambda state: state in {"ready", "failed"})
        await asyncio.gather(*(self._wish(asset_id, length_s * at / wishes) for at in range(wishes)))
        if self._rng.random() < 0.3:
            await self._delete_asset(asset_id)

    async def credits(self) -> tuple[int, int]:
        """Return what can be spent and what is held."""
        balance = (await self.insist(lambda: self.client.call("GET", "/api/v1/wallet/balance")))["balance"]
        return balance["available_credits"], balance["held_credits"]

    async def _send(self, take: bytes) -> str:
        key = new_id()

        async def once() -> str:
            form = aiohttp.FormData()
            form.add_field("file", io.BytesIO(take), filename="take.wav", content_type="audio/wav")
            headers = self.client.headers() | {"Idempotency-Key": key}
            url = f"{self.client.base_url}/api/v1/assets/audio/upload"
            timeout = aiohttp.ClientTimeout(total=LONGEST_CALL_S)
            async with self.client.session.post(url, data=form, headers=headers, timeout=timeout) as answer:
                body = await answer.json(content_type=None)
                if answer.status >= 400:  # an error
                    raise ApiError(answer.status, body)
                return str(body["data"]["asset"]["asset_id"])

        return await self.insist(once)

    async def _asset_state(self, asset_id: str) -> str:
        return str((await self.insist(lambda: self.client.call("GET", f"/api/v1/assets/{asset_id}")))["asset"]["state"])

    async def _delete_asset(self, asset_id: str) -> None:
        try:
            await self.insist(lambda: self.client.call("DELETE", f"/api/v1/assets/{asset_id}"))
        except ApiError:
            return  # a living track plays it
        del self._told.assets[asset_id]

    async def _wish(self, asset_id: str, latest_s: float) -> None:
        """Ask for one song after a while and do with it what this user does."""
        await asyncio.sleep(self._rng.random() * latest_s)
        rng = random.Random(self._rng.random())
        wish = Wish(new_id(), self.user_id, rng.choice(HABITS), rng.random() < 0.4)
        self._told.wishes.append(wish)
        submits = 2 if rng.random() < 0.4 else 1
        await asyncio.gather(*(self._submit(wish, asset_id) for _ in range(submits)))
        if wish.refusal or not wish.answers:
            return
        await asyncio.sleep(rng.random() * 1.5)
        try:
            await getattr(self, f"_{wish.habit}")(wish)
        except ApiError as error:
            wish.taken_back = str(error)

    async def _submit(self, wish: Wish, asset_id: str) -> None:
        body = {"asset_id": asset_id, "title": "Ode", "duration_s": 30, "seed": int(wish.key[-8:], 16)}

        async def by_http() -> tuple[str, str]:
            made = await self.client.call("POST", "/api/v1/tracks", body, Idempotency_Key=wish.key)
            return made["track_id"], made["job_id"]

        async def by_grpc() -> tuple[str, str]:
            request = track_service_pb2.CreateTrackRequest(**body, request_id=wish.key)  # type: ignore[arg-type]
            made = await self._tracks.CreateTrack(request, timeout=LONGEST_CALL_S, metadata=self._metadata)
            return made.track_id, made.job_id

        try:
            wish.answers.append(await self.insist(by_grpc if wish.by_grpc else by_http))
        except ApiError as error:
            wish.refusal = error.symbol

    async def _listen(self, wish: Wish) -> None:
        """Follow the server-sent events to the last one, coming back with Last-Event-ID."""

        async def once() -> None:
            after = max(wish.watched, default=0)
            async for message in self.client.events(f"/api/v1/jobs/{wish.job_id}/events", after=after):
                if message["event"]:
                    wish.watched.append(message["event"]["sequence"])
                    wish.saw_final |= message["event"]["final"]
            if not wish.saw_final:
                raise ConnectionError("the stream ended without the end of the job")

        await self.insist(once)

    async def _follow(self, wish: Wish) -> None:
        """Follow the gRPC stream to the last event, coming back with after_sequence."""

        async def once() -> None:
            request = job_service_pb2.WatchJobRequest(job_id=wish.job_id, after_sequence=max(wish.watched, default=0))
            async for message in self._jobs.WatchJob(request, timeout=60, metadata=self._metadata):
                if message.HasField("event"):
                    wish.watched.append(message.event.sequence)
                    wish.saw_final |= message.event.final
            if not wish.saw_final:
                raise ConnectionError("the stream ended without the end of the job")

        await self.insist(once)

    async def _poll(self, wish: Wish) -> None:
        async def state() -> str:
            job = await self.insist(lambda: self.client.call("GET", f"/api/v1/jobs/{wish.job_id}"))
            return str(job["job"]["state"])

        await self.until(state, lambda found: found in {"completed", "failed", "cancelled"})

    async def _cancel(self, wish: Wish) -> None:
        try:
            await self.insist(lambda: self.client.call("POST", f"/api/v1/jobs/{wish.job_id}/cancel", {}))
            wish.cancelled = True
        except ApiError as error:
            if error.symbol != "JOB_NOT_CANCELLABLE":
                raise

    async def _delete(self, wish: Wish) -> None:
        await self.insist(lambda: self.client.call("DELETE", f"/api/v1/tracks/{wish.track_id}"))
        wish.deleted = True

    async def _share(self, wish: Wish) -> None:
        await self._poll(wish)
        path = f"/api/v1/tracks/{wish.track_id}/share"
        try:
            made = await self.insist(lambda: self.client.call("POST", path, {"share_types": ["link"]}))
        except ApiError:
            return  # the song failed, and what cannot be heard cannot be shared
        wish.share_code = made["share_code"]
        if self._rng.random() < 0.5:
            await self.insist(lambda: self.client.call("DELETE", f"/api/v1/shares/{wish.share_code}"))
            wish.share_code = ""

    async def _leave(self, wish: Wish) -> None:
        """Close the browser: the song is made all the same."""

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.client.token}"),)

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Return the answer, asking again until there is one; ApiError for a refusal, Gone when the round is over."""
        pause_s = PAUSE_S
        while not self._over.is_set():
            try:
                return await ask()
            except ApiError as error:
                self.last_trouble = str(error)
                if error.status == INTERNAL:
                    self._told.internal.append(str(error))
                if 0 < error.status < INTERNAL and error.status != TOO_MANY and error.code != BUSY:
                    raise
            except grpc.aio.AioRpcError as error:
                told = from_rpc(error)
                self.last_trouble = f"{told.reason}: {told.message}"
                if error.code() not in AGAIN and told.reason != "GENERATE_BUSY":
                    raise ApiError(400, {"error": told.reason, "message": told.message}) from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                self.last_trouble = repr(error)  # no answer, or half of one
            self._told.retries += 1
            await asyncio.sleep(pause_s * (1 + self._rng.random()))
            pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
        raise Gone

    async def until(self, look: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
        """Return what is seen as soon as it is good; Gone when the round is over."""
        while True:
            found = await look()
            if good(found):
                return found
            await asyncio.sleep(PAUSE_S)
