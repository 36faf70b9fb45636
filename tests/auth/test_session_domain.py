"""The rules of sessions, tokens and keys, without a database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.auth.domain import signing_key as keys
from services.auth.domain.session import (
    RefreshToken,
    Session,
    Verdict,
    access_claims,
    judge,
    refresh_hash,
    refresh_token,
)
from services.auth.domain.signing_key import ANNOUNCED, SigningKey
from services.auth.domain.user import Provider, identity_hash

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = AT + timedelta(days=30)
SESSION = Session("session", "user", LATER)
FRESH = RefreshToken(b"a", LATER)
NEXT = RefreshToken(b"b", LATER)


def _used(seconds_ago: float) -> RefreshToken:
    return replace(FRESH, used_time=AT - timedelta(seconds=seconds_ago), successor_hash=b"b")


_KEYED = replace(FRESH, used_time=AT - timedelta(days=9), successor_hash=b"b", key_hash=b"k")
_SPENT = replace(NEXT, used_time=AT)


@pytest.mark.parametrize(
    ("session", "token", "successor", "key", "verdict"),
    [
        (SESSION, FRESH, None, None, Verdict.ROTATE),
        (SESSION, FRESH, None, b"k", Verdict.ROTATE),
        (SESSION, _used(0), NEXT, None, Verdict.RETRY),
        (SESSION, _used(10), NEXT, None, Verdict.RETRY),
        (SESSION, _used(10.001), NEXT, None, Verdict.REPLAY),
        (SESSION, _used(1), NEXT, b"k", Verdict.REPLAY),
        (SESSION, _used(1), _SPENT, None, Verdict.REPLAY),
        (SESSION, _used(1), None, None, Verdict.REPLAY),
        (SESSION, _KEYED, NEXT, b"k", Verdict.RETRY),
        (SESSION, _KEYED, _SPENT, b"k", Verdict.STALE),
        (SESSION, _KEYED, NEXT, b"other", Verdict.REPLAY),
        (SESSION, _KEYED, _SPENT, b"other", Verdict.REPLAY),
        (SESSION, replace(_KEYED, used_time=AT), NEXT, None, Verdict.REPLAY),
        (SESSION, replace(FRESH, expire_time=AT), None, None, Verdict.OVER),
        (SESSION, replace(_KEYED, expire_time=AT), NEXT, b"k", Verdict.OVER),
        (replace(SESSION, expire_time=AT), FRESH, None, None, Verdict.OVER),
        (replace(SESSION, revoke_time=AT - timedelta(days=1)), FRESH, None, None, Verdict.OVER),
        (replace(SESSION, revoke_time=AT - timedelta(days=1)), _KEYED, NEXT, b"k", Verdict.OVER),
    ],
)
def test_what_a_refresh_token_is_good_for(
    session: Session, token: RefreshToken, successor: RefreshToken | None, key: bytes | None, verdict: Verdict
) -> None:
    """Renewed once; answered again for its key while its successor rests, without keys for ten seconds; else over."""
    assert judge(session, token, successor, AT, key_hash=key) is verdict


def test_refresh_tokens_are_random_and_stored_as_hashes() -> None:
    """A thousand tokens differ, carry 256 bits, and their hash holds no part of them."""
    tokens = {refresh_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(token.startswith("cdr_") and len(token) == 47 for token in tokens)
    token = tokens.pop()
    assert token.encode() not in refresh_hash(token)
    assert len(refresh_hash(token)) == 32


def test_access_claims_say_who_and_until_when() -> None:
    """The claims name user, session, token, roles and times in whole seconds, and nothing else."""
    claims = access_claims(SESSION, ("admin",), token_id="token", at=AT, ttl=timedelta(days=7))
    assert claims == {
        "sub": "user",
        "sid": "session",
        "jti": "token",
        "roles": ["admin"],
        "iat": int(AT.timestamp()),
        "exp": int(AT.timestamp()) + 604_800,
    }


def test_identities_of_two_doors_never_meet() -> None:
    """The same id behind two doors gives two hashes, and neither shows the id."""
    hashes = {identity_hash(provider, "device-0123456789") for provider in Provider}
    assert len(hashes) == len(Provider)
    assert not any(b"device" in each for each in hashes)


def _key(name: str, age: timedelta) -> SigningKey:
    return SigningKey(name, b"", b"", AT - age)


_DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ({"a": timedelta()}, "a"),
        ({"a": 9 * _DAY, "b": timedelta()}, "a"),
        ({"a": 9 * _DAY, "b": ANNOUNCED}, "b"),
        ({"a": 9 * _DAY, "b": 2 * _DAY, "c": timedelta()}, "b"),
    ],
)
def test_a_key_signs_once_it_has_been_announced(ages: dict[str, timedelta], expected: str) -> None:
    """The first key signs at once, every later one only after its announcement."""
    assert keys.signer([_key(name, age) for name, age in ages.items()], AT).key_id == expected


@pytest.mark.parametrize(
    ("ages", "expected"),
    [
        ({}, []),
        ({"a": 900 * _DAY}, ["a"]),
        ({"a": 99 * _DAY, "b": 6 * _DAY}, ["b", "a"]),
        ({"a": 99 * _DAY, "b": 8 * _DAY}, ["b"]),
        ({"a": 99 * _DAY, "b": 50 * _DAY, "c": timedelta()}, ["c", "b"]),
    ],
)
def test_keys_stay_published_while_their_tokens_live(ages: dict[str, timedelta], expected: list[str]) -> None:
    """A key leaves the set when the last token it signed has run out, seven days after its successor began."""
    published = keys.published([_key(name, age) for name, age in ages.items()], AT, 7 * _DAY)
    assert [key.key_id for key in published] == expected


def test_a_key_is_due_when_there_is_none_or_the_newest_is_old() -> None:
    """Only the newest key's age matters."""
    assert keys.is_due([], AT, 90 * _DAY)
    assert keys.is_due([_key("a", 90 * _DAY)], AT, 90 * _DAY)
    assert not keys.is_due([_key("a", 99 * _DAY), _key("b", 89 * _DAY)], AT, 90 * _DAY)
