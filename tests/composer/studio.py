"""Composer with the real Wallet and Media around it in one process, and a band that plays what a test wants."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import delete, func, select, update

from cadenza.composer.v1 import dead_letter_service_pb2_grpc as dead_grpc
from cadenza.composer.v1 import job_service_pb2_grpc as job_grpc
from cadenza.composer.v1 import lyrics_service_pb2_grpc as lyrics_grpc
from cadenza.composer.v1 import track_service_pb2 as pb
from cadenza.composer.v1 import track_service_pb2_grpc as track_grpc
from cadenza.composer.v1 import webhook_service_pb2_grpc as webhook_grpc
from cadenza.media.v1 import asset_service_pb2 as media_pb2
from cadenza.media.v1 import asset_service_pb2_grpc as media_grpc
from cadenza.wallet.v1 import credit_service_pb2 as wallet_pb2
from cadenza.wallet.v1 import credit_service_pb2_grpc as wallet_grpc
from services.composer.__main__ import build
from services.composer.config import Config
from services.composer.jobs.music import MusicJob
from services.composer.jobs.vendor import VendorLine
from services.composer.providers import Listener, Made, MusicProvider, Order, Stopped
from services.composer.storage.tables import jobs, tracks
from services.composer.usecases.charge import Charge
from services.composer.usecases.ending import ending
from services.composer.usecases.making import Making
from services.composer.usecases.track import MUSIC, policies
from services.composer.usecases.webhook_delivery import announcing
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.jobs.job import Job
from services.kit.jobs.postgres import PostgresJobs
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.runner import Runner
from services.kit.jobs.signals import RedisSignals
from services.kit.jobs.sweeper import Sweeper
from services.kit.redis import connect
from services.kit.rpc.application import Application
from services.kit.rpc.around import Concern, concerns
from services.kit.rpc.local import LocalMesh
from services.media.__main__ import build as build_media
from services.media.config import Config as MediaConfig
from services.wallet.__main__ import build as build_wallet
from services.wallet.config import Config as WalletConfig
from tests.kit.rpc_layouts import Issuer, bearer
from tests.media.recordings import sound

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00 a cover"
ENCRYPTION_KEY = "5e" * 32
ANALYSIS: dict[str, Any] = {
    "key": {"tonic": 2, "mode": "major"},
    "tempo_bpm": 108.004,
    "beats_per_bar": 4,
    "notes": [{"start_s": 0.5, "end_s": 1.0, "pitch": 66}, {"start_s": 1.0, "end_s": 1.5, "pitch": 67}],
    "segment": {"start_s": 0.25, "end_s": 1.75, "score": 1.0},
}


# One track that ends at once.
MIDI = b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0"


class Band:
    """Hears and plays what the test says; counts what it was asked for."""

    name = "band"

    def __init__(self) -> None:
        """Begin well disposed."""
        self.asked: Counter[str] = Counter()
        self.takes: list[bytes] = []
        self.orders: list[Order] = []
        self.changes: list[dict[str, Any]] = []
        # What to raise at the next times something is asked; the last one for ever with `always`.
        self.faults: dict[str, list[Exception]] = {}
        self.always: dict[str, Exception] = {}
        # While it is clear, playing goes on until somebody says stop.
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.playing = 0
        self.interrupted = 0

    def _asked(self, what: str) -> None:
        self.asked[what] += 1
        if self.faults.get(what):
            raise self.faults[what].pop(0)
        if what in self.always:
            raise self.always[what]

    async def check(self, take: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return measures."""
        self._asked("check")
        self.takes.append(take)
        return {"loudness_lufs": -18.204, "voiced_ratio": 0.8124, "snr_db": 31.236}

    async def listen(self, take: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return an analysis."""
        self._asked("listen")
        return ANALYSIS

    async def pick(self, analysis: dict[str, Any], stop: Callable[[], bool]) -> dict[str, Any]:
        """Return the analysis as it is."""
        self._asked("pick")
        return analysis

    async def change(
        self, analysis: dict[str, Any], change: dict[str, Any], stop: Callable[[], bool]
    ) -> dict[str, Any]:
        """Return the analysis at the tempo that is asked for."""
        self._asked("change")
        self.changes.append(change)
        return {**analysis, "tempo_bpm": change.get("tempo_bpm") or analysis["tempo_bpm"]}

    async def judge(
        self, variants: dict[str, Any], seed: int, stop: Callable[[], bool]
    ) -> tuple[dict[str, Any], bytes]:
        """Return the scores, for B, and a cover."""
        self._asked("judge")
        scores: dict[str, Any] = {"recommended": "B"}
        scores["A"] = {"score": 0.7, "recommended": False, "remarks": []}
        scores["B"] = {"score": 0.8, "recommended": True, "remarks": ["clearer_melody"]}
        return scores, JPEG

    async def make(self, order: Order, progress: Callable[[int, str], None], stop: Callable[[], bool]) -> Made:
        """Return two seconds of a tone as the variant, once it may end."""
        self.orders.append(order)
        self._asked(f"make {order.label}")
        progress(50, "half of it")
        self.playing += 1
        try:
            while not self.may_end.is_set():
                if stop():
                    # Whichever comes first, this look or the cancellation of the call, ends the playing.
                    self.interrupted += 1
                    raise Stopped("make")
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.interrupted += 1
            raise
        finally:
            self.playing -= 1
        return Made(
            label=order.label,
            mp3=sound("take.mp3"),
            duration_ms=2000,
            style=f"style {order.label}",
            key="D major",
            tempo_bpm=108.0,
            melody_score=0.9,
            loudness_lufs=-14.1,
            true_peak_dbtp=-1.2,
            peaks=(1, 50, 100),
            chords=("D", "A7"),
            instruments=("piano",),
            scores={"melody": 0.9},
            midi=MIDI,
            chord_sheet="[chorus]\n| D | A7 |\n",
            engine="band-1",
        )


@dataclass
class Studio:
    """A running Composer, its neighbours, and the way to be somebody who uses it."""

    mesh: LocalMesh
    issuer: Issuer
    db: Database
    redis: Redis
    wallet: Application
    queue: JobQueue
    charge: Charge
    making: Making
    band: Band
    user_id: str = field(default_factory=new_id)

    def metadata(self, user_id: str = "", **entries: str) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a person's call."""
        return (
            *bearer(self.issuer.token(sub=user_id or self.user_id)),
            *((name.replace("_", "-"), value) for name, value in entries.items()),
        )

    def tracks(self, caller: str = "gateway") -> "track_grpc.TrackServiceAsyncStub":
        """Return the stub of the track service as this caller."""
        return track_grpc.TrackServiceStub(self.mesh.peers(caller).channel("composer"))

    def jobs(self, caller: str = "gateway") -> "job_grpc.JobServiceAsyncStub":
        """Return the stub of the job service as this caller."""
        return job_grpc.JobServiceStub(self.mesh.peers(caller).channel("composer"))

    def dead_letters(self, caller: str = "gateway") -> "dead_grpc.DeadLetterServiceAsyncStub":
        """Return the stub of the dead letter service as this caller."""
        return dead_grpc.DeadLetterServiceStub(self.mesh.peers(caller).channel("composer"))

    def lyrics(self, caller: str = "gateway") -> "lyrics_grpc.LyricsServiceAsyncStub":
        """Return the stub of the lyrics service as this caller."""
        return lyrics_grpc.LyricsServiceStub(self.mesh.peers(caller).channel("composer"))

    def webhooks(self, caller: str = "gateway") -> "webhook_grpc.WebhookServiceAsyncStub":
        """Return the stub of the webhook service as this caller."""
        return webhook_grpc.WebhookServiceStub(self.mesh.peers(caller).channel("composer"))

    def media(self, caller: str = "gateway") -> "media_grpc.AssetServiceAsyncStub":
        """Return Media's stub as this caller."""
        return media_grpc.AssetServiceStub(self.mesh.peers(caller).channel("media"))

    def credits(self, caller: str = "gateway") -> "wallet_grpc.CreditServiceAsyncStub":
        """Return Wallet's stub as this caller."""
        return wallet_grpc.CreditServiceStub(self.mesh.peers(caller).channel("wallet"))

    def serve_wallet(self, *extra: Concern) -> None:
        """Serve Wallet, with more around its handlers than usual if a test wants it."""
        self.mesh.add(self.wallet, (*concerns("wallet", verifier=self.issuer.verifier()), *extra))

    async def new_user(self) -> str:
        """Be a new person with 100 credits from now on; return the id."""
        self.user_id = new_id()
        request = wallet_pb2.GrantRequest(
            request_id=f"signup:{self.user_id}", user_id=self.user_id, kind=wallet_pb2.GRANT_KIND_SIGNUP
        )
        await self.credits("auth").Grant(request)
        return self.user_id

    async def balance(self, user_id: str = "") -> tuple[int, int]:
        """Return the person's available and held credits."""
        answer = await self.credits().GetBalance(wallet_pb2.GetBalanceRequest(), metadata=self.metadata(user_id))
        return answer.balance.available_credits, answer.balance.held_credits

    async def entries(self) -> list[int]:
        """Return every change of the person's available credits, the newest first."""
        answer = await self.credits().ListEntries(
            wallet_pb2.ListEntriesRequest(page_size=100), metadata=self.metadata()
        )
        return [each.amount_credits for each in answer.entries]

    async def asset(
        self, data: bytes = b"", kind: media_pb2.Asset.Kind.ValueType = media_pb2.Asset.KIND_RECORDING
    ) -> str:
        """Return the id of a ready asset of the person that holds this mp3, or a tone."""
        header = media_pb2.StoreHeader(
            request_id=new_id(), user_id=self.user_id, kind=kind, filename="hum.mp3", content_type="audio/mpeg"
        )

        async def messages() -> AsyncIterator[media_pb2.StoreAssetRequest]:
            yield media_pb2.StoreAssetRequest(header=header)
            yield media_pb2.StoreAssetRequest(chunk=data or sound("take.mp3"))

        return (await self.media("composer").StoreAsset(messages())).asset.asset_id

    async def create(self, asset_id: str = "", **wishes: Any) -> pb.CreateTrackResponse:
        """Return what CreateTrack answers the person."""
        request = pb.CreateTrackRequest(asset_id=asset_id or await self.asset(), **wishes)
        return await self.tracks().CreateTrack(request, metadata=self.metadata())

    async def create_of_words(self, lyrics: str, **wishes: Any) -> pb.CreateTrackResponse:
        """Return what CreateTrack answers the person who has words and no recording."""
        request = pb.CreateTrackRequest(lyrics=lyrics, **wishes)
        return await self.tracks().CreateTrack(request, metadata=self.metadata())

    async def track(self, track_id: str) -> pb.Track:
        """Return the person's track."""
        answer = await self.tracks().GetTrack(pb.GetTrackRequest(track_id=track_id), metadata=self.metadata())
        return answer.track

    async def job(self, job_id: str) -> Job:
        """Return the job as its row stands."""
        async with self.db.transaction() as tx:
            return await self.queue.get(tx, job_id)

    async def rows(self) -> tuple[int, int]:
        """Return how many tracks and jobs the person has, put away or not."""
        async with self.db.transaction() as tx:
            found = [
                await tx.scalar(select(func.count()).select_from(table).where(table.c.user_id == self.user_id))
                for table in (tracks, jobs.jobs)
            ]
        return int(found[0] or 0), int(found[1] or 0)

    async def messages(self, job_id: str) -> list[str]:
        """Return the topics of what the outbox was given for the job."""
        async with self.db.transaction() as tx:
            found = await tx.execute(select(jobs.outbox.c.topic).where(jobs.outbox.c.key == job_id))
        return [str(topic) for topic in found.scalars()]

    async def forget_earlier_work(self) -> None:
        """Forget messages and unfinished jobs, so that a test delivers and takes only its own."""
        async with self.db.transaction() as tx:
            await tx.execute(delete(jobs.outbox))
            await tx.execute(delete(jobs.jobs).where(jobs.jobs.c.state.in_(("pending", "queued", "running"))))

    async def hurry(self, job_id: str) -> None:
        """Let the time pass after which somebody looks at the job again."""
        past = func.now() - func.make_interval(0, 0, 0, 0, 1)
        async with self.db.transaction() as tx:
            await tx.execute(update(jobs.jobs).where(jobs.jobs.c.job_id == job_id).values(run_after=past))

    async def steal(self, job_id: str) -> None:
        """Take the lease of a running job away from its worker, as another worker would."""
        async with self.db.transaction() as tx:
            await tx.execute(
                update(jobs.jobs).where(jobs.jobs.c.job_id == job_id).values(lease_token=jobs.jobs.c.lease_token + 1)
            )

    async def queue_again(self, job_id: str) -> None:
        """Let the lease of a job whose worker died run out."""
        past = func.now() - func.make_interval(0, 0, 0, 0, 0, 1)
        async with self.db.transaction() as tx:
            await tx.execute(update(jobs.jobs).where(jobs.jobs.c.job_id == job_id).values(lease_expire_time=past))

    def runner(
        self,
        listener: Listener | None = None,
        provider: MusicProvider | None = None,
        *,
        heartbeat_s: float = 0.05,
        vendors: VendorLine | None = None,
    ) -> Runner:
        """Return a worker's runner that hears its owner's wishes soon."""
        ears, player = listener or self.band, provider or self.band
        music = MusicJob(making=self.making, listener=ears, provider=player, at_once=2, vendors=vendors)
        return Runner(self.queue, self.db, {MUSIC: music}, dispatcher=self.charge.dispatcher, heartbeat_s=heartbeat_s)

    def sweeper(self) -> Sweeper:
        """Return a sweeper as server and worker have one."""
        return Sweeper(self.queue, self.db, on_pending=self.charge.resume)

    async def finish(self, job_id: str, runner: Runner | None = None) -> Job:
        """Run the job until it has ended, deliver what it left in the outbox, return its row."""
        runner = runner or self.runner()
        for _ in range(4):
            await runner.run(job_id)
            if (await self.job(job_id)).state.finished:
                break
        await self.charge.dispatcher.drain()
        return await self.job(job_id)


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Return once the condition holds; raises TimeoutError when it does not come true."""
    async with asyncio.timeout(within_s):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(database_url: str, redis_url: str, folder: Path, **settings: Any) -> AsyncIterator[Studio]:
    """Yield the services with their loops standing still: a test runs what it wants to run.

    The settings are Composer's.
    """
    mesh, issuer = LocalMesh(), Issuer()
    verifier = issuer.verifier()
    async with AsyncExitStack() as stack:
        wallet = await stack.enter_async_context(
            build_wallet(WalletConfig(database_url=database_url, redis_url=redis_url), mesh.peers("wallet"))
        )
        media_config = MediaConfig(
            database_url=database_url,
            redis_url=redis_url,
            object_store_directory=folder / "objects",
            object_url_secret="0123456789abcdef0123456789abcdef",
        )
        media = await stack.enter_async_context(build_media(media_config, mesh.peers("media")))
        config = Config(
            database_url=database_url,
            redis_url=redis_url,
            encryption_key=ENCRYPTION_KEY,
            webhook_loopback=True,
            **settings,
        )
        composer = await stack.enter_async_context(build(config, mesh.peers("composer")))
        mesh.add(media, concerns("media", verifier=verifier))
        mesh.add(composer, concerns("composer", verifier=verifier))
        db, redis = Database(database_url), connect(redis_url)
        stack.push_async_callback(db.close)
        stack.push_async_callback(redis.aclose)
        # A failed attempt is repeated at once instead of five seconds later.
        hasty = {kind: replace(policy, backoff_s=0.01) for kind, policy in policies(600.0).items()}
        store = PostgresJobs("composer", jobs)
        queue = JobQueue(store, hasty, RedisSignals(redis), now, on_end=ending(store, now), on_start=announcing(now))
        stack.callback(queue.close)
        peers = mesh.peers("composer")
        charge = Charge(db=db, queue=queue, wallet=wallet_grpc.CreditServiceStub(peers.channel("wallet")), clock=now)
        making = Making(db=db, media=media_grpc.AssetServiceStub(peers.channel("media")), clock=now)
        studio = Studio(mesh, issuer, db, redis, wallet, queue, charge, making, Band())
        studio.serve_wallet()
        await studio.new_user()
        yield studio
        await mesh.drain(1.0)
