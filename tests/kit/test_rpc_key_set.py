"""The public keys as verifiers keep them: fetched once, ahead of time, and believed while Auth is away."""

import asyncio
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.kit.errors import Unauthenticated, Unavailable
from services.kit.rpc.key_set import FRESH_S, KeySet, Published
from services.kit.rpc.tokens import TokenVerifier
from tests.kit.rpc_layouts import Issuer

KEY = Ed25519PrivateKey.generate().public_key()


@dataclass
class Auth:
    """Tells the keys it holds, after a moment, and counts how often it is asked; `away` when it does not answer."""

    keys: set[str] = field(default_factory=lambda: {"a"})
    asked: int = 0
    away: bool = False

    async def tell(self) -> Published:
        """Return the keys."""
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.away:
            raise Unavailable("nobody there")
        return Published(dict.fromkeys(self.keys, KEY))


def _older(keys: KeySet, seconds: float) -> None:
    """Let the set believe that so much time has gone by."""
    keys._fetched -= seconds
    keys._tried -= seconds


async def _settled(keys: KeySet) -> None:
    if keys._fetching is not None:
        await keys._fetching


async def test_all_who_wait_for_an_unknown_key_share_one_fetch() -> None:
    """A hundred tokens of a new key are one question; nor does it end with the caller who asked first."""
    auth = Auth()
    keys = KeySet(auth.tell)
    first = asyncio.create_task(keys.find("a"))
    await asyncio.sleep(0)
    others = [asyncio.create_task(keys.find("a")) for _ in range(99)]
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*others) == [KEY] * 99
    assert auth.asked == 1


async def test_made_up_keys_are_asked_for_at_most_once_in_five_seconds() -> None:
    """A flood of made-up key ids is no flood of questions, and a known key is found meanwhile."""
    auth = Auth()
    keys = KeySet(auth.tell)
    for number in range(200):
        assert await keys.find(f"made-up-{number}") is None
    assert auth.asked == 1
    _older(keys, 5.0)
    assert await asyncio.gather(*(keys.find(f"made-up-{number}") for number in range(200))) == [None] * 200
    assert auth.asked == 2
    assert await keys.find("a") is KEY


async def test_a_stale_set_is_fetched_beside_the_calls() -> None:
    """Nobody waits for the look at what is new, so a key is known before the first token that it signed."""
    auth = Auth()
    keys = KeySet(auth.tell)
    assert await keys.find("a") is KEY
    auth.keys.add("b")
    _older(keys, FRESH_S)
    finding = keys.find("a")
    with pytest.raises(StopIteration) as found:
        finding.send(None)
    assert found.value.value is KEY
    await _settled(keys)
    assert auth.asked == 2
    assert await keys.find("b") is KEY
    assert auth.asked == 2


async def test_what_was_known_stays_while_auth_is_away() -> None:
    """Tokens of known keys are verified for as long as Auth is away; an unknown one is no lie, only not to be told."""
    auth = Auth()
    keys = KeySet(auth.tell)
    assert await keys.find("a") is KEY
    auth.away = True
    for _ in range(3):
        _older(keys, FRESH_S)
        assert await keys.find("a") is KEY
        await _settled(keys)
    with pytest.raises(Unavailable):
        await keys.find("b")
    asked = auth.asked
    with pytest.raises(Unavailable):
        await keys.find("b")
    assert auth.asked == asked
    auth.away = False
    auth.keys.add("b")
    _older(keys, 0.5)
    assert await keys.find("b") is KEY


async def test_a_first_fetch_that_fails_is_tried_again_within_a_second() -> None:
    """A service that starts before Auth serves soon after Auth does."""
    auth = Auth(away=True)
    keys = KeySet(auth.tell)
    with pytest.raises(Unavailable):
        await keys.find("a")
    auth.away = False
    await asyncio.sleep(0.6)
    assert await keys.find("a") is KEY


async def test_a_verifier_reads_the_set_once_and_refuses_what_nobody_signed() -> None:
    """Three tokens of one key are one fetch, tokens of a made-up key are AUTH_REQUIRED and none."""
    issuer = Issuer()
    verifier = TokenVerifier(issuer.keys, issuer.revoked)
    for number in range(3):
        await verifier.verify(issuer.token(jti=f"t{number}"))
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await verifier.verify(issuer.token(headers={"kid": "new"}))
    assert issuer.fetches == 1
