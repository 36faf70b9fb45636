"""Sign in with Apple against a stand-in with keys that rotate, over a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from redis.asyncio import Redis

from cadenza.auth.v1 import login_service_pb2
from services.auth.domain.errors import AuthProviderError
from services.auth.providers.apple import Apple as AppleDoor
from services.kit.http import HttpClient
from services.kit.ids import new_id
from tests.auth.house import house, refused
from tests.conftest import SettableClock
from tests.fakes.apple import CLIENT_ID, Apple
from tests.fakes.stand_in import Fault, served

NONCE = "raw-nonce-1"
_VECTOR_N = (
    "zKOUzIX7-7YtPX3Xn6GYQKPowf081DhNVeCuXblNc9N7sNvHULzLdDUu5Lsb479ab2vtz3FEShAKSUu0EHBOPBfx2XQFHx7rfxjkxSWk9ldNUf6-"
    "e-w6wBzMXj9Zd51UYDu39RO9kcwQ3p0EbsCUpMoe0L7M77lS7qRn8RbAdHDYwMINrz4sHhBBWDRsQzX1nUymXRzmB_ztlpYcr_u0e60Vnokw5-0_"
    "NOBTHVrrXBPEt8AjHUGEQjWj0Z7cw3xS9X8dGVF7CgQtiWgKfKOYque9hSQoHdVCBzorNU7yREvRfmqk6c3QjIQ8dyLSTXwxqCOlQzSz80gLrdlE"
    "5pHLmw"
)
_VECTOR_TOKEN = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2FwcGxlaWQuYXBwbGUuY29tIiwiYXVkIjoiY29t"
    "LmV4YW1wbGUuYXBwIiwiZXhwIjoxNzAwMDg2NDAwLCJpYXQiOjE3MDAwMDAwMDAsInN1YiI6IjAwMDAwMS5hYmMuMDAwMSIsIm5vbmNlIjoiYmVm"
    "NTNiM2M0NWNjMWRlNGI3ZWY0MjRlMTg4MzE4OTZkYzA0MDY1Yzc5YjQyMjUwNDMxZmE2OWNkMTIzZTFlMyIsIm5vbmNlX3N1cHBvcnRlZCI6dHJ1"
    "ZSwiZW1haWxfdmVyaWZpZWQiOiJ0cnVlIn0.cdubS6dXlWCOStKPJnaXPRoaLz1QZc4ydiEM1bgrwY8b2UzJKHiVo4Hf6QTwG35iarmrIMinGVgC-"
    "llot5JCSauYAjiEbdGXKXxgkP9GrizUWsSz6ZUWs6z_dvNCUjPosa2XBcgsvUpIoWsiC01giLeG2TFvrZ5OcTvry-D0QopH0RFxsnbTsuAvG82Jt"
    "B-EV8w1tzd0QRxvfXMJKO1PNYBX78lKhgnCwikXmyJbBlFtuHuN6-LxsXgmuLMiZqklvr5vHyMS2B1jSPc7VPayPGWlUHEcg7PvG4kdlTkMthywzL"
    "LcvzrAh3at10onSklNDxc9xV_xvBshm27VyW40wA"
)


@pytest.fixture
async def apple(clock: SettableClock) -> AsyncIterator[Apple]:
    """Yield a running stand-in."""
    async with served(Apple(clock=clock)) as vendor:
        yield vendor


@asynccontextmanager
async def _door(apple: Apple, clock: Any, client_ids: tuple[str, ...] = (CLIENT_ID,)) -> AsyncIterator[AppleDoor]:
    async with HttpClient("apple", private_allowed=True) as http:
        yield AppleDoor(http, clock, base_url=apple.url, client_ids=client_ids, timeout_s=1.0)


async def _why(door: AppleDoor, token: str, nonce: str = NONCE) -> str:
    """Return why the door refused, having seen that nothing of the token shows."""
    with pytest.raises(AuthProviderError) as caught:
        await door.verify(token, nonce)
    shown = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.metadata}"
    signature = token.rpartition(".")[2]
    assert not signature or signature not in shown
    return caught.value.metadata.get("why", caught.value.metadata["cause"])


async def test_a_token_computed_elsewhere_is_taken(apple: Apple) -> None:
    """The known token, key and nonce verify at their time, for their program, and name their person."""
    key = {"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": _VECTOR_N, "e": "AQAB"}
    apple.fail(Fault(status=200, body={"keys": [key]}))
    async with _door(apple, lambda: datetime.fromtimestamp(1_700_000_000, UTC), ("com.example.app",)) as door:
        assert (await door.verify(_VECTOR_TOKEN, NONCE)).subject == "000001.abc.0001"


async def test_keys_are_fetched_once_and_again_for_a_new_one(apple: Apple, clock: SettableClock) -> None:
    """Many tokens cost one fetch; a token of a new key costs one more, and old keys stay good while published."""
    async with _door(apple, clock) as door:
        old = apple.token("s-1", NONCE)
        for _ in range(3):
            assert (await door.verify(old, NONCE)).subject == "s-1"
        assert apple.calls["GET /auth/keys"] == 1
        clock.advance(61)
        apple.rotate()
        assert (await door.verify(apple.token("s-2", NONCE), NONCE)).subject == "s-2"
        assert (await door.verify(old, NONCE)).subject == "s-1"
        assert apple.calls["GET /auth/keys"] == 2


async def test_made_up_keys_do_not_make_us_ask_all_the_time(apple: Apple, clock: SettableClock) -> None:
    """A hundred tokens of unknown keys within a minute cost one fetch."""
    stranger = generate_private_key(public_exponent=65537, key_size=2048)
    async with _door(apple, clock) as door:
        for n in range(100):
            token = jwt.encode({"sub": "x"}, stranger, algorithm="RS256", headers={"kid": f"k{n}"})
            assert await _why(door, token) == "unknown_key"
    assert apple.calls["GET /auth/keys"] == 1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"iss": "https://appleid.example.com"}, "InvalidIssuerError"),
        ({"aud": "com.example.other"}, "InvalidAudienceError"),
        ({"aud": None}, "MissingRequiredClaimError"),
        ({"sub": None}, "MissingRequiredClaimError"),
        ({"sub": ""}, "subject"),
        ({"sub": "x" * 129}, "subject"),
        ({"exp": None}, "MissingRequiredClaimError"),
        ({"exp": "soon"}, "times"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused(
    apple: Apple, clock: SettableClock, changed: dict[str, Any], why: str
) -> None:
    """Issuer, program, person, time and nonce must each be right."""
    async with _door(apple, clock) as door:
        assert await _why(door, apple.token("s", NONCE, **changed)) == why


async def test_times_have_a_minute_of_grace(apple: Apple, clock: SettableClock) -> None:
    """A token is good until a minute past its end, and from a minute before its beginning."""
    async with _door(apple, clock) as door:
        token = apple.token("s", NONCE)
        clock.advance(659)
        assert (await door.verify(token, NONCE)).subject == "s"
        clock.advance(2)
        assert await _why(door, token) == "expired"
        early = int((clock() + timedelta(seconds=90)).timestamp())
        assert await _why(door, apple.token("s", NONCE, iat=early)) == "not_yet"


async def test_the_nonce_may_be_the_text_itself(apple: Apple, clock: SettableClock) -> None:
    """Some clients put the raw text into the request; the hash of another text is refused."""
    async with _door(apple, clock) as door:
        assert (await door.verify(apple.token("s", "x", nonce=NONCE), NONCE)).subject == "s"
        assert await _why(door, apple.token("s", "another-nonce")) == "nonce"


async def test_the_token_does_not_choose_how_it_is_verified(apple: Apple, clock: SettableClock) -> None:
    """No algorithm, another one, a shared secret made of the public key, and no key name are all refused."""
    kid = apple.keys[0].name
    claims = jwt.decode(apple.token("s", NONCE), options={"verify_signature": False})
    stranger = generate_private_key(public_exponent=65537, key_size=2048)
    async with _door(apple, clock) as door:
        assert await _why(door, jwt.encode(claims, "", algorithm="none", headers={"kid": kid})) == "algorithm"
        shared = jwt.encode(claims, "0" * 64, algorithm="HS256", headers={"kid": kid})
        assert await _why(door, shared) == "algorithm"
        assert await _why(door, jwt.encode(claims, stranger, algorithm="RS384", headers={"kid": kid})) == "algorithm"
        assert await _why(door, jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": kid})) == (
            "InvalidSignatureError"
        )
        assert await _why(door, jwt.encode(claims, stranger, algorithm="RS256")) == "algorithm"
        assert await _why(door, "no.such.thing0") == "malformed"


@pytest.mark.parametrize("fault", ["down", "no_keys", "garbled", "slow", "cut"])
async def test_an_apple_that_is_away_is_told_as_such(apple: Apple, clock: SettableClock, fault: str) -> None:
    """Without any keys the login is unreachable; with known ones it goes on without Apple."""
    async with _door(apple, clock) as door:
        token = apple.token("s", NONCE)
        apple.fail(fault, times=5)
        assert await _why(door, token) == "unreachable"
        apple.faults.clear()
        await door.verify(token, NONCE)
        apple.fail(fault, times=5)
        clock.advance(7 * 3600)
        assert (await door.verify(apple.token("s", NONCE), NONCE)).subject == "s"


async def test_an_apple_account_is_a_user(
    apple: Apple, database_url: str, redis_url: str, redis: Redis, clock: SettableClock
) -> None:
    """The same person is the same user, another one is another, and a refused token makes none."""
    more = {"apple_client_ids": (CLIENT_ID,), "apple_base_url": apple.url}
    async with house(database_url, redis_url, redis, clock, **more) as home:
        first, second = f"s-{new_id()}", f"s-{new_id()}"
        answers = []
        for subject in (first, first, second):
            request = login_service_pb2.AppleLoginRequest(
                identity_token=apple.token(subject, NONCE), nonce=NONCE, display_name=" 林\x00 "
            )
            answers.append(await home.logins.AppleLogin(request))
        assert [each.is_new for each in answers] == [True, False, True]
        assert answers[0].user_id == answers[1].user_id != answers[2].user_id
        wrong = login_service_pb2.AppleLoginRequest(identity_token=apple.token("x", "y" * 9), nonce=NONCE)
        assert (await refused(home.logins.AppleLogin(wrong))).reason == "AUTH_PROVIDER_ERROR"
