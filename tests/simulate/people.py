"""Users who are like users: they submit, lose patience, ask again, ask twice at once, cancel, put away and watch."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc.aio

from cadenza.wallet.v1 import credit_service_pb2 as wallet_pb2
from services.composer.domain.track import Wishes
from services.kit.errors import RemoteError
from services.kit.rpc.call import IdempotencyKey
from tests.simulate.world import APIS, WALLET

if TYPE_CHECKING:
    from tests.simulate.world import World

_PATIENCE_S = 8.0
_MOST_TRIES = 5
# The last step ends there.
_NEARLY_PERCENT = 95
# What a client takes as "perhaps later" and asks again; everything else is a refusal.
_PASSING = frozenset({"SERVICE_UNAVAILABLE", "TIMEOUT", "UNKNOWN_ERROR", "CANCELLED", "CONFLICT"})


@dataclass(frozen=True)
class Habits:
    """What these users do how often."""

    users: int = 2
    submissions: int = 3
    patient: float = 0.7
    at_once: float = 0.2
    cancels: float = 0.25
    deletes: float = 0.1
    watches: float = 0.2
    within_s: float = 10.0


class People:
    """All users of one world."""

    def __init__(self, world: World, habits: Habits) -> None:
        self._world = world
        self._habits = habits
        self._roll = world.chance.random
        self.busy = 0

    async def live(self) -> None:
        """Let every user do everything they want to do."""
        self.busy = self._habits.users
        await asyncio.gather(*(self._user(number) for number in range(self._habits.users)))

    async def _user(self, number: int) -> None:
        user_id = f"00000000-0000-7000-8000-{number + 1:012d}"
        try:
            await self._sign_up(user_id)
            await asyncio.gather(*(self._wish(user_id, f"wish-{number}-{n}") for n in range(self._habits.submissions)))
        except Exception as error:  # noqa: BLE001  # told with the outcome
            self._world.defects.append(f"user {number} met {error!r}")
        finally:
            self.busy -= 1

    async def _sign_up(self, user_id: str) -> None:
        request = wallet_pb2.GrantRequest(request_id=f"signup-{user_id}", user_id=user_id)
        while True:
            try:
                await self._world.network.call(WALLET, "Grant", request, timeout_s=_PATIENCE_S)
            except (grpc.aio.AioRpcError, RemoteError):
                await asyncio.sleep(0.5)
            else:
                return

    async def _wish(self, user_id: str, key: str) -> None:
        """Ask for one song, and perhaps change one's mind."""
        habits = self._habits
        await asyncio.sleep(habits.within_s * self._roll())
        asking = [self._submit(user_id, key)]
        if self._roll() < habits.at_once:
            asking.append(self._submit(user_id, key))
        answers = [answer for answer in await asyncio.gather(*asking) if answer is not None]
        if not answers:
            return
        track_id, job_id = answers[0]
        roll = self._roll()
        if roll < habits.cancels / 2:
            # The dearest moment for it: all the work is done, and the end is not written yet.
            await self._nearly_done(user_id, job_id)
            await self._ask("cancel", (user_id, job_id))
        elif roll < habits.cancels:
            await asyncio.sleep(6.0 * self._roll() ** 2)
            await self._ask("cancel", (user_id, job_id))
        elif roll < habits.cancels + habits.deletes:
            await asyncio.sleep(6.0 * self._roll() ** 2)
            await self._ask("delete", (user_id, track_id))
        elif roll < habits.cancels + habits.deletes + habits.watches:
            await self._watch(user_id, job_id)

    async def _submit(self, user_id: str, key: str) -> tuple[str, str] | None:
        """Return track and job once the submission is acknowledged, None for a refusal or out of patience."""
        wishes = _wishes(key)
        for _ in range(_MOST_TRIES):
            answer = await self._ask("create", (user_id, wishes, IdempotencyKey(key, key)))
            if isinstance(answer, str):
                if answer not in _PASSING or self._roll() > self._habits.patient:
                    self._world.say(f"{key} got {answer} and gives up")
                    return None
                await asyncio.sleep(3.0 * self._roll())
                continue
            track, job = answer
            self._world.say(f"{key} is acknowledged as job {job.job_id}, {job.state}, {track.cost_credits} credits")
            self._world.promises.acknowledge(user_id, key, job.job_id)
            return track.track_id, job.job_id
        return None

    async def _watch(self, user_id: str, job_id: str) -> None:
        """Read the log to its end, going on where one was; every line must come once and in order."""
        last = 0
        for _ in range(60):
            answer = await self._ask("read", (user_id, job_id, last))
            if not isinstance(answer, str):
                for line in answer[1]:
                    if line.sequence != last + 1:
                        self._world.promises.broken.append(f"gapless: {job_id} showed {line.sequence} after {last}")
                    last = line.sequence
                    if line.final:
                        return
            await asyncio.sleep(1.0)

    async def _nearly_done(self, user_id: str, job_id: str) -> None:
        """Return once the last step is finished, or when that takes long."""
        last = 0
        for _ in range(200):
            answer = await self._ask("read", (user_id, job_id, last))
            for line in () if isinstance(answer, str) else answer[1]:
                last = line.sequence
                if line.final or line.progress_percent >= _NEARLY_PERCENT:
                    return
            await asyncio.sleep(0.1)

    async def _ask(self, method: str, asked: tuple[Any, ...]) -> Any:
        """Return the answer of one of the servers, or the reason why there is none."""
        api = APIS[int(self._roll() * len(APIS))]
        self._world.say(f"{method} {asked[:1] if method == 'create' else asked} at {api}")
        try:
            return await self._world.network.call(api, method, asked, timeout_s=_PATIENCE_S)
        except RemoteError as error:
            return error.reason
        except grpc.aio.AioRpcError as error:
            return "TIMEOUT" if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED else "SERVICE_UNAVAILABLE"


def _wishes(key: str) -> Wishes:
    return Wishes(
        asset_id="asset",
        title=key,
        style="",
        mood="",
        lyrics="",
        voice_gender="",
        duration_s=60,
        seed=1,
    )
