"""Plays one series of wishes to all callers at once, and compares what they are told and what they have afterwards."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cadenza.auth.v1.session_service_pb2 import AnonymousLoginRequest
from cadenza.composer.v1.job_service_pb2 import GetJobRequest
from cadenza.composer.v1.track_service_pb2 import CreateTrackRequest
from cadenza.job.v1.job_pb2 import JobState
from gateway.routes import Binding, public_bindings
from services.kit.rpc.method import Method
from services.mesh.up import RunningMesh
from tests.differential.ways import Outcome, Way, open_ways
from tests.differential.wishes import wish
from tests.differential.worlds import World, differences, new_worlds

# What a caller has, asked for in one way of all.
BELONGINGS = (
    "/cadenza.auth.v1.UserService/GetMe",
    "/cadenza.composer.v1.TrackService/ListTracks",
    "/cadenza.composer.v1.JobService/ListJobs",
    "/cadenza.composer.v1.LyricsService/ListLyrics",
    "/cadenza.composer.v1.WebhookService/ListWebhooks",
    "/cadenza.media.v1.AssetService/ListAssets",
    "/cadenza.share.v1.ShareService/ListShares",
    "/cadenza.wallet.v1.CreditService/GetBalance",
    "/cadenza.wallet.v1.CreditService/ListEntries",
)
BALANCE = "/cadenza.wallet.v1.CreditService/GetBalance"
# What a mesh needs, so that callers differ in nothing but their way, and nothing happens but by them.
SETTINGS = {
    "WORKERS": "0",
    "RATE_USER_PER_MINUTE": "0",
    "RATE_ADDRESS_PER_MINUTE": "0",
    "TRUSTED_PROXIES": "127.0.0.0/8",
}
LOOK_EVERY = 40
_SONG_S = 120.0
_SETTLED_S = 10.0
# Their outcome, or what it leaves, comes a moment later.
_LATER = frozenset({"CancelJob", "DeleteTrack", "DeleteLyrics", "AnonymousLogin", "Register"})


class Play:
    """One series, and what went differently."""

    def __init__(self, seed: int) -> None:
        """Prepare a caller for each way."""
        self.bindings = callable_methods()
        self.worlds = new_worlds()
        self.chance = random.Random(seed)
        self.found: list[str] = []
        self.reasons = Counter[str]()
        self._ways: dict[str, Way] = {}

    @asynccontextmanager
    async def at(self, mesh: RunningMesh) -> AsyncIterator[None]:
        """Let the callers call this mesh for the length of the block, logged in."""
        async with open_ways(mesh) as self._ways:
            await asyncio.gather(*(self._login(world) for world in self.worlds))
            yield

    async def make_songs(self) -> None:
        """Give every caller a finished song, at a mesh that has a worker."""
        create = self.bindings["/cadenza.composer.v1.TrackService/CreateTrack"]
        get = self.bindings["/cadenza.composer.v1.JobService/GetJob"]
        request = CreateTrackRequest(lyrics="[verse]\n海边的风", duration_s=30, seed=4, title="Tide")
        for world in self.worlds:
            made: Any = (await self._one(world, create, [request], "3" * 32)).response
            deadline = asyncio.get_running_loop().time() + _SONG_S
            while True:
                job: Any = (await self._one(world, get, [GetJobRequest(job_id=made.job_id)], "3" * 32)).response
                if job.job.state == JobState.JOB_STATE_COMPLETED:
                    break
                assert asyncio.get_running_loop().time() < deadline, job
                await asyncio.sleep(0.5)

    async def run(self, cases: int, tell: Callable[[int, int], None] = lambda _done, _all: None) -> None:
        """Play so many wishes of every method in random order; what differs is in `found`, and `tell` hears how far."""
        await self._look()
        order = [path for path in sorted(self.bindings) for _ in range(cases)]
        self.chance.shuffle(order)
        for number, path in enumerate(order, start=1):
            await self._case(self.bindings[path])
            if not number % LOOK_EVERY:
                await self._look()
                tell(number, len(order))
        await self._look()

    async def _case(self, binding: Binding) -> None:
        request = wish(binding, self.chance)
        told = await self._asked(binding, request)
        if differences(told) and binding.method.no_side_effects:
            # Something that an earlier wish began may have ended between two of the callers.
            await asyncio.sleep(0.5)
            told = await self._asked(binding, request)
        wished = " | ".join(map(str, request))
        self.found += [f"{binding.method.path} {wished!r}\n  {each}" for each in differences(told)]
        self.reasons[next(iter(told.values()))["reason"]] += 1
        if binding.method.name in _LATER:
            await self._settled()

    async def _asked(self, binding: Binding, request: Any) -> dict[str, dict[str, Any]]:
        """Return what each caller was told by the name of their way; all ask at the same time."""
        trace_id = uuid.UUID(int=self.chance.getrandbits(128), version=4).hex
        outcomes = await asyncio.gather(*(self._one(world, binding, request, trace_id) for world in self.worlds))
        if any(each.reason in {"AUTH_EXPIRED", "AUTH_REQUIRED"} for each in outcomes) or self._ends(binding.method):
            await asyncio.gather(*(self._login(world) for world in self.worlds))
        return {world.name: world.told(each) for world, each in zip(self.worlds, outcomes, strict=True)}

    async def _one(self, world: World, binding: Binding, request: Any, trace_id: str) -> Outcome:
        outcome = await self._ways[world.name].ask(binding, world.own(request), world.headers(trace_id))
        if outcome.trace_id != trace_id:
            self.found.append(f"{binding.method.path} by {world.name}: trace id {outcome.trace_id!r}")
        return outcome

    async def _login(self, world: World) -> None:
        """Be the same person again, with a token that lives."""
        request = AnonymousLoginRequest(provider="web", provider_id=f"differential-{world.mark}")
        binding = self.bindings["/cadenza.auth.v1.SessionService/AnonymousLogin"]
        world.token = ""
        outcome = await self._ways[world.name].ask(binding, [request], world.headers("1" * 32))
        response: Any = outcome.response
        assert response is not None, outcome
        world.token = str(response.access_token)

    async def _look(self) -> None:
        """Compare what the callers have, waiting for what is still under way."""
        for path in BELONGINGS:
            await self._compared(path, _SETTLED_S)

    async def _settled(self) -> None:
        await self._compared(BALANCE, _SETTLED_S)

    async def _compared(self, path: str, patience_s: float) -> None:
        binding = self.bindings[path]
        deadline = asyncio.get_running_loop().time() + patience_s
        while True:
            told = {}
            for world in self.worlds:
                headers = world.headers("2" * 32)
                outcome = await self._ways["edge"].ask(binding, [binding.method.request_type()], headers)
                told[world.name] = world.told(outcome)
            wrong = differences(told)
            if not wrong:
                return
            if asyncio.get_running_loop().time() > deadline:
                self.found += [f"what they have, {path}\n  {each}" for each in wrong]
                return
            await asyncio.sleep(0.1)

    @staticmethod
    def _ends(method: Method) -> bool:
        return method.name in {"Logout", "EndSession", "EndSessions", "RefreshSession"}


def callable_methods() -> dict[str, Binding]:
    """Return the first route of every public method, by the method's path."""
    found: dict[str, Binding] = {}
    for binding in public_bindings():
        if binding.method.path not in found or not binding.additional:
            found[binding.method.path] = binding
    return found
