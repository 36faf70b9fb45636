"""Refresh rotation pleases both camps: every interleaving by a checker, then many of them on the real server."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis

from cadenza.auth.v1 import session_service_pb2 as pb
from services.auth.domain.session import RefreshToken, Session, Verdict, judge
from services.kit.rpc.errors import from_rpc
from tests.auth import refresh_model as model
from tests.auth.house import House, house, refused
from tests.conftest import SettableClock


@pytest.fixture
async def home(database_url: str, redis_url: str, redis: Redis, clock: SettableClock) -> AsyncIterator[House]:
    """Yield Auth and Wallet."""
    async with house(database_url, redis_url, redis, clock) as made:
        yield made


def test_no_interleaving_logs_an_honest_client_out_or_lets_a_stolen_token_live() -> None:
    """In all states of four requests at once, lost messages and a thief, both promises hold."""
    states, flaw = model.explore()
    assert flaw is None
    assert states > 50_000


def _strict(
    session: Session, token: RefreshToken, successor: RefreshToken | None, at: datetime, key: bytes | None
) -> Verdict:
    """Every second use is a theft."""
    verdict = judge(session, token, successor, at, key_hash=key)
    return Verdict.REPLAY if verdict in {Verdict.RETRY, Verdict.STALE} else verdict


def _kind(
    session: Session, token: RefreshToken, successor: RefreshToken | None, at: datetime, key: bytes | None
) -> Verdict:
    """Every second use is a retry."""
    return judge(session, token, successor, at, key_hash=token.key_hash or key)


def _harsh(
    session: Session, token: RefreshToken, successor: RefreshToken | None, at: datetime, key: bytes | None
) -> Verdict:
    """A request that the network brought late is a theft."""
    verdict = judge(session, token, successor, at, key_hash=key)
    return Verdict.REPLAY if verdict is Verdict.STALE else verdict


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        (_strict, "good for nothing"),
        (_kind, "past its second use"),
        (_harsh, "logged out"),
    ],
)
def test_the_checker_finds_what_is_wrong_with_simpler_rules(rule: model.Rule, what: str) -> None:
    """Each rule that pleases one camp only is shown a way to its flaw of a few steps."""
    _, flaw = model.explore(rule)
    assert flaw is not None
    assert what in flaw.what
    assert len(flaw.steps) < 10


@dataclass
class _Client:
    """A client with one storage and many tabs, which loses answers as it is told to."""

    home: House
    token: str
    chance: random.Random
    secret: str = field(default_factory=lambda: hashlib.sha256(random.randbytes(8)).hexdigest())
    refusals: list[str] = field(default_factory=list)

    def key(self, token: str) -> str:
        """Return the retry key of a token."""
        return hashlib.sha256(f"{self.secret}{token}".encode()).hexdigest()

    async def tab(self) -> None:
        """Refresh once, whenever it suits, and keep what comes if it is newer and not lost on the way."""
        await asyncio.sleep(self.chance.random() * 0.01)
        asked = self.token
        await asyncio.sleep(self.chance.random() * 0.02)
        try:
            answer = await refresh(self.home, asked, self.key(asked))
        except grpc.aio.AioRpcError as error:
            self.refusals.append(from_rpc(error).reason)
            return
        lost = self.chance.random() < 0.4
        if not lost and self.token == asked:
            self.token = answer.refresh_token


def refresh(home: House, token: str, key: str = "") -> Any:
    """Return the call that refreshes."""
    return home.sessions.RefreshSession(pb.RefreshSessionRequest(refresh_token=token, retry_key=key))


async def test_the_real_server_never_logs_an_honest_client_out(home: House) -> None:
    """Rounds of four refreshes at once with lost and late answers end with a client that is logged in."""
    for seed in range(12):
        chance = random.Random(seed)  # a run that fails can be had again
        login = await home.device()
        client = _Client(home, login.refresh_token, chance)
        for _ in range(3):
            await asyncio.gather(*(client.tab() for _ in range(4)))
            home.clock.advance(chance.choice((0, 5, 600)))
        assert set(client.refusals) <= {"CONFLICT"}, seed
        last = await refresh(home, client.token, client.key(client.token))
        assert last.session.session_id == login.session.session_id


async def test_the_real_server_ends_a_stolen_token_at_its_second_use(home: House) -> None:
    """Whoever comes first, once both have shown the token nothing of the session works for anybody."""
    for seed in range(12):
        chance = random.Random(seed)
        login = await home.device()
        client = _Client(home, login.refresh_token, chance)
        thief = _Client(home, login.refresh_token, chance)
        sides = [client.tab() for _ in range(3)] + [thief.tab()]
        chance.shuffle(sides)
        await asyncio.gather(*sides)
        home.clock.advance(chance.choice((0, 5, 600)))
        for token, owner in ((client.token, client), (thief.token, thief), (login.refresh_token, client)):
            assert (await refused(refresh(home, token, owner.key(token)))).reason == "AUTH_EXPIRED", seed


async def test_a_lost_answer_may_be_asked_for_days_later(home: House) -> None:
    """With its key a client that lost the answer gets the same successor six days later, and without it does not."""
    for key, works in (("k" * 64, True), ("", False)):
        login = await home.device()
        first = await refresh(home, login.refresh_token, key)
        home.clock.advance(6 * 86_400)
        if works:
            again = await refresh(home, login.refresh_token, key)
            assert again.refresh_token == first.refresh_token
            assert (await refresh(home, again.refresh_token, "l" * 64)).access_token
        else:
            assert (await refused(refresh(home, login.refresh_token, key))).reason == "AUTH_EXPIRED"


async def test_tabs_without_keys_share_one_successor(home: House) -> None:
    """Eight refreshes at once without keys all get the same token, which goes on."""
    login = await home.device()
    answers = await asyncio.gather(*(refresh(home, login.refresh_token) for _ in range(8)))
    (successor,) = {each.refresh_token for each in answers}
    assert len({each.access_token for each in answers}) == 8
    assert (await refresh(home, successor)).access_token


async def test_a_key_must_be_long_enough_to_be_a_secret(home: House) -> None:
    """A short key is refused as a parameter and uses nothing up."""
    login = await home.device()
    assert (await refused(refresh(home, login.refresh_token, "short"))).reason == "PARAM_INVALID"
    assert (await refresh(home, login.refresh_token)).access_token
