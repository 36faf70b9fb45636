"""Limits that depend on the plan, on the address for meetings, and on settings instead of the contract."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from cadenza.options.v1.options_pb2 import RATE_CLASS_AI, RATE_CLASS_MEETING
from cadenza.wallet.v1 import credit_service_pb2 as pb
from gateway.config import Config
from gateway.routes import public_bindings
from services.kit.config import ConfigError
from services.kit.ids import new_id
from services.mesh.valkey import Valkey
from tests.gateway.conftest import Gateway
from tests.gateway.services import Fakes

TRACKS, AGAIN = "/api/v1/tracks", "/api/v1/tracks/018f0000-0000-7000-8000-000000000001/regenerate"
PLANS: dict[Any, int] = {pb.PLAN_FREE: 10, pb.PLAN_BASIC: 30, pb.PLAN_PREMIUM: 60}


def _token() -> dict[str, str]:
    return {"Authorization": f"Bearer {new_id()}"}


async def _asked(http: ClientSession, path: str, headers: dict[str, str]) -> tuple[bool, dict[str, str]]:
    """Return whether the request was let through, and the headers of the answer."""
    async with http.post(path, json={}, headers=headers) as response:
        await response.read()
        return response.status != 429, dict(response.headers)


def test_the_contract_names_what_is_counted_by_plan() -> None:
    """Songs and words are, by every path; they are what costs a model or an engine its time."""
    names = {each.method.name for each in public_bindings() if each.rate_class == RATE_CLASS_AI}
    assert names == {"CreateTrack", "RegenerateTrack", "GenerateLyrics"}


@pytest.mark.parametrize("plan", PLANS)
async def test_each_plan_has_its_limit_over_all_gateways(
    gateway: Gateway, fakes: Fakes, redis_url: str, plan: Any
) -> None:
    """10, 30 and 60 a minute of all such methods together, exactly, at two gateways; Wallet is asked once by each."""
    fakes.credits.plan = plan
    gateways = [await gateway(redis_url=redis_url, rate_user_per_minute=1000) for _ in range(2)]
    token = _token()
    found = [await _asked(gateways[place % 2], (TRACKS, AGAIN)[place % 3 == 0], token) for place in range(70)]
    assert sum(passed for passed, _ in found) == PLANS[plan]
    _, headers = found[-1]
    assert headers["RateLimit-Policy"] == f'"ai";q={PLANS[plan]};w=60'
    assert headers["Retry-After"] == headers["RateLimit-Reset"]
    assert 0 < fakes.credits.plan_asked <= 2


async def test_nobody_is_asked_for_a_plan_below_the_free_limit(gateway: Gateway, fakes: Fakes, redis_url: str) -> None:
    """Ten requests cost no call to Wallet; other methods are not counted with them."""
    fakes.credits.plan = pb.PLAN_PREMIUM
    http, token = await gateway(redis_url=redis_url, rate_user_per_minute=1000), _token()
    assert all([(await _asked(http, TRACKS, token))[0] for _ in range(10)])
    for _ in range(20):
        async with http.get("/api/v1/wallet/balance", headers=token) as response:
            assert response.status == 200
    assert fakes.credits.plan_asked == 0


async def test_whose_plan_is_not_told_is_on_the_free_one(gateway: Gateway, fakes: Fakes, redis_url: str) -> None:
    """A token that Wallet refuses gets ten, and Wallet is not asked again for each of its requests."""
    http, token = await gateway(redis_url=redis_url, rate_user_per_minute=1000), _token()
    assert sum([(await _asked(http, TRACKS, token))[0] for _ in range(30)]) == 10
    assert fakes.credits.plan_asked == 1


async def test_the_count_goes_on_when_valkey_is_stopped(gateway: Gateway, fakes: Fakes, tmp_path: Path) -> None:
    """With Valkey two gateways count together; once it is stopped each counts alone, and refuses all the same."""
    fakes.credits.plan = pb.PLAN_BASIC
    valkey = Valkey(tmp_path / "valkey")
    url = await asyncio.to_thread(valkey.start)
    try:
        gateways = [await gateway(redis_url=url, rate_user_per_minute=1000) for _ in range(2)]
        token = _token()
        shared = [(await _asked(gateways[place % 2], TRACKS, token))[0] for place in range(40)]
    finally:
        await asyncio.to_thread(valkey.remove)
    assert sum(shared) == 30
    for http in gateways:
        await asyncio.sleep(0.15)  # a refusal of before is given again for a tenth of a second
        assert sum([(await _asked(http, TRACKS, token))[0] for _ in range(40)]) == 30


async def test_meetings_are_counted_by_address(gateway: Gateway, redis_url: str) -> None:
    """All meeting methods of one address together, whatever tokens it shows."""
    bindings = [
        replace(each, rate_class=RATE_CLASS_MEETING) if each.method.name == "GetBalance" else each
        for each in public_bindings()
    ]
    http = await gateway(
        bindings=bindings, redis_url=redis_url, rate_meeting_per_minute=3, trusted_proxies=("127.0.0.1",)
    )
    address, statuses = {"X-Forwarded-For": f"2001:db8::{new_id()[-4:]}"}, []
    for _ in range(5):
        async with http.get("/api/v1/wallet/balance", headers={**_token(), **address}) as response:
            statuses.append(response.status)
            policy = response.headers["RateLimit-Policy"]
    assert statuses == [200, 200, 200, 429, 429]
    assert policy == '"meeting";q=3;w=60'


async def test_a_setting_replaces_the_limit_of_a_method(gateway: Gateway, redis_url: str) -> None:
    """GenerateLyrics=2 lets two through where the contract says five."""
    http, token = (
        await gateway(redis_url=redis_url, rate_user_per_minute=50, rate_methods=("GenerateLyrics=2",)),
        _token(),
    )
    found = [(await _asked(http, "/api/v1/ai/lyrics", token))[0] for _ in range(4)]
    assert found == [True, True, False, False]


@pytest.mark.parametrize("text", ["GenerateLyrics", "GenerateLyrics=0", "=5", "A=b", "A=1=2"])
def test_a_limit_that_is_none_stops_the_start(config: Config, text: str) -> None:
    """What cannot be read as a method and a number is named."""
    with pytest.raises(ConfigError, match="RATE_METHODS"):
        replace(config, rate_methods=(text,))
