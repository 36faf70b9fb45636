"""The law of races, over the network: N holds of price p on balance b grant exactly floor(b / p), whoever races."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.rpc.around import concerns
from services.kit.rpc.certificates import Certificates
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.serve import Server
from services.mesh.ca import Authority
from services.wallet.__main__ import build
from services.wallet.config import Config
from services.wallet.usecases.credit import Credits
from tests.conftest import SettableClock
from tests.kit.rpc_layouts import Issuer

pytestmark = pytest.mark.timeout(180)
_PRICE = 10
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Wallet:
    """A Wallet behind a port with mutual TLS."""

    address: str
    tls: Path


@pytest.fixture
async def wallet(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Wallet]:
    """Yield Wallet as its composition root builds it, reachable by processes that have a certificate."""
    tls = tmp_path / "tls"
    Authority(tmp_path / "authority", tls).ensure()
    async with build(
        Config(database_url=database_url, redis_url=redis_url), LocalMesh().peers("wallet")
    ) as application:
        server = Server(
            [application],
            concerns("wallet", verifier=Issuer().verifier()),
            address="127.0.0.1:0",
            credentials=Certificates(tls, "wallet").server_credentials(),
        )
        await server.start()
        try:
            yield Wallet(f"127.0.0.1:{server.port}", tls)
        finally:
            await server.stop(0.2)


async def _race(wallet: Wallet, user_id: str, *, racers: int, seed: int, mixed: bool) -> Counter[str]:
    """Run the racers in a process of their own over a connection of their own; return what they met."""
    request = {"user": user_id, "racers": racers, "seed": seed, "mixed": mixed}
    request |= {"address": wallet.address, "tls": str(wallet.tls)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.wallet.racer", json.dumps(request)), cwd=_ROOT, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    assert process.returncode == 0
    return Counter(json.loads(answer))


@pytest.mark.parametrize(("racers", "balance"), [(2_000, 995), (300, 2_999), (40, 5)])
async def test_racing_holds_grant_what_the_balance_covers(
    wallet: Wallet, db: Database, clock: SettableClock, racers: int, balance: int
) -> None:
    """From four processes at once, exactly floor(balance / price) of the holds are granted and all others refused."""
    user_id = new_id()
    await Credits(db, clock, signup_grant_credits=balance).grant_signup(request_id=user_id, user_id=user_id)
    met = Counter[str]()
    for each in await asyncio.gather(
        *(_race(wallet, user_id, racers=racers // 4, seed=seed, mixed=False) for seed in range(4))
    ):
        met += each
    granted = min(balance // _PRICE, racers)
    assert met["granted"] == granted, met
    assert met["CREDITS_HELD"] + met["INSUFFICIENT_CREDITS"] == racers - granted, met
    have = await Credits(db, clock, signup_grant_credits=1).balance(user_id)
    assert (have.available, have.held) == (balance - granted * _PRICE, granted * _PRICE)


async def test_a_random_mix_spends_what_it_says(wallet: Wallet, db: Database, clock: SettableClock) -> None:
    """Holds, settlements in part, releases and repeats of all of them from four processes lose and make no credit."""
    user_id, seed = new_id(), Random().randrange(10**6)
    await Credits(db, clock, signup_grant_credits=200).grant_signup(request_id=user_id, user_id=user_id)
    met = Counter[str]()
    for each in await asyncio.gather(
        *(_race(wallet, user_id, racers=100, seed=seed + number, mixed=True) for number in range(4))
    ):
        met += each
    have = await Credits(db, clock, signup_grant_credits=1).balance(user_id)
    assert met["granted"] == met["settled"] + met["released"], seed
    assert (have.available + met["spent"], have.held) == (200, 0), seed
