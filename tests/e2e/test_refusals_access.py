"""Who may not: without a token, with a bad one, with somebody else's. Nothing is given away and nothing changes."""

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cadenza.options.v1 import options_pb2
from gateway.routes import Binding, public_bindings
from services.auth.usecases.signing_key import Signer, SigningKeys
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.rpc.tokens import AUDIENCE, ISSUER
from services.kit.sealing import Sealer
from services.mesh.up import RunningMesh
from tests.auth.house import new_mailbox
from tests.auth.outside import Outside
from tests.e2e.conftest import Arrive
from tests.e2e.people import Answer, Person, Song, until

PERSONAL = [each for each in public_bindings() if each.method.access == options_pb2.ACCESS_USER]
"""Every route that needs a token."""


async def ask(person: Person, binding: Binding, **values: str) -> Answer:
    """Call a route with the values in its path; what it wants besides is left out or harmless."""
    path = binding.path
    for field in binding.variables:
        path = path.replace(f"{{{field.name}}}", values.get(field.name) or NOBODYS[field.name])
    if binding.method.client_streaming:
        return await person.send(b"RIFF", "a.wav", path=path)
    body = BODIES.get(binding.path, {}) if binding.body else None
    return await person.ask(binding.verb, path, json=body)


NOBODYS = {
    **{
        f"{name}_id": new_id()
        for name in (
            "track",
            "job",
            "asset",
            "lyrics",
            "webhook",
            "delivery",
            "export",
            "session",
            "identity",
            "merge",
            "notification",
        )
    },
    "share_code": "zzzzzzzz",
}
BODIES: dict[str, Any] = {
    "/api/v1/tracks": {"asset_id": new_id()},
    "/api/music/generate": {"asset_id": new_id()},
    "/api/v1/tracks/{track_id}": {"title": "Mine now"},
    "/api/v1/tracks/{track_id}/choose": {"variant_id": new_id()},
    "/api/v1/tracks/{track_id}/appeal": {"message": "Look again"},
    "/api/v1/assets/audio/presign": {"filename": "a.wav", "content_type": "audio/wav", "size_bytes": 100},
}


@pytest.fixture(scope="session")
async def signer(mesh: RunningMesh) -> AsyncIterator[Signer]:
    """The mesh's own key, so that a token is wrong in one point only."""
    db = Database(mesh.environment["DATABASE_URL"])
    sealer = Sealer.from_hex(mesh.environment["ENCRYPTION_KEY"], "")
    week = now() - now().replace(year=now().year - 1)
    yield await SigningKeys(db, sealer, now, access_ttl=week, longest=week).signer()
    await db.close()


def claims_of(token: str, **changes: Any) -> dict[str, Any]:
    """Return the claims of a good token with changes."""
    return {**jwt.decode(token, options={"verify_signature": False}), **changes}


def unsigned(claims: dict[str, Any]) -> str:
    """Return a token that says it needs no signature; libraries refuse to make one with a key id."""
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in parts]
    return ".".join([*encoded, ""])


async def test_no_route_of_a_person_answers_without_a_token(arrive: Arrive) -> None:
    """Every route that needs a token answers 401 and 20001 without one, with nonsense, and with an empty one."""
    person = await arrive()
    assert len(PERSONAL) >= 25
    for token in ("", "nonsense", "a.b.c"):
        person.token = token
        for binding in PERSONAL:
            answer = await ask(person, binding)

            assert answer.refusal == (401, 20001, "AUTH_REQUIRED"), (binding.verb, binding.path, token)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


async def test_bad_tokens_are_told_apart(arrive: Arrive, signer: Signer) -> None:
    """Expired, forged, unsigned and misdirected tokens are refused; only the one that was ours once says expired."""
    person = await arrive()
    good = person.token
    header = jwt.get_unverified_header(good)
    ours, stranger = claims_of(good), Ed25519PrivateKey.generate()
    long_ago = int(time.time()) - 10
    start, _, signature = good.split(".")
    public = base64.urlsafe_b64encode(b"x" * 32)
    bad = {
        "expired": signer.sign(claims_of(good, exp=long_ago)),
        "forged": jwt.encode(ours, stranger, algorithm="EdDSA", headers={"kid": header["kid"]}),
        "unknown key": jwt.encode(ours, stranger, algorithm="EdDSA", headers={"kid": "other"}),
        "alg none": unsigned(ours),
        "hmac": jwt.encode(ours, public, algorithm="HS256", headers={"kid": header["kid"]}),
        "changed": ".".join((start, unsigned(claims_of(good, sub=new_id())).split(".")[1], signature)),
        "other audience": jwt.encode({**ours, "aud": "elsewhere"}, signer._private, "EdDSA", {"kid": header["kid"]}),
        "other issuer": jwt.encode({**ours, "iss": "elsewhere"}, signer._private, "EdDSA", {"kid": header["kid"]}),
    }
    told = {}
    for name, token in bad.items():
        person.token = token
        told[name] = (await person.ask("GET", "/api/v1/users/me")).refusal
    person.token = signer.sign({key: value for key, value in ours.items() if key not in {"iss", "aud"}})

    assert (ours["iss"], ours["aud"]) == (ISSUER, AUDIENCE)
    assert told.pop("expired") == (401, 20002, "AUTH_EXPIRED")
    assert set(told.values()) == {(401, 20001, "AUTH_REQUIRED")}, told
    assert (await person.ask("GET", "/api/v1/users/me")).status == 200


async def test_a_session_that_was_ended_is_over_everywhere(arrive: Arrive) -> None:
    """After a logout the refresh token is refused at once and the access token within the time of the local caches."""
    person = await arrive()
    opened = await person.login()
    await person.call("POST", "/api/v1/auth/logout", {})
    refreshed = await person.ask("POST", "/api/v1/auth/refresh", json={"refresh_token": opened["refresh_token"]})

    assert await ended(person)
    assert refreshed.refusal == (401, 20002, "AUTH_EXPIRED")


async def test_a_refresh_token_that_comes_twice_ends_its_session(arrive: Arrive) -> None:
    """Rotation: once the successor was used, the old refresh token ends the whole session."""
    person = await arrive()
    first = await person.login()
    second = await person.call("POST", "/api/v1/auth/refresh", {"refresh_token": first["refresh_token"]})
    third = await person.call("POST", "/api/v1/auth/refresh", {"refresh_token": second["refresh_token"]})
    stolen = await person.ask("POST", "/api/v1/auth/refresh", json={"refresh_token": first["refresh_token"]})
    person.token = third["access_token"]

    assert stolen.refusal == (401, 20002, "AUTH_EXPIRED")
    assert await ended(person)


async def ended(person: Person) -> bool:
    """Return whether the person's token is soon told to be over."""

    async def balance() -> Answer:
        return await person.ask("GET", "/api/v1/wallet/balance")

    answer = await until(balance, lambda found: found.status != 200, patience_s=10)
    return answer.refusal == (401, 20002, "AUTH_EXPIRED")


async def _notice(person: Person, carriers: Outside) -> str:
    """Return the notice that a new way to log in brings."""
    mailbox = new_mailbox()
    await person.call("POST", "/api/v1/verification/send", {"target": mailbox, "purpose": "bind"})

    async def codes() -> list[str]:
        return carriers.post.codes(mailbox)

    way = {"provider": "email", "provider_id": mailbox, "verification_code": (await until(codes, bool))[0]}
    await person.call("POST", "/api/v1/auth/bindIdentity", way)
    (notice,) = (await person.call("GET", "/api/v1/notifications"))["notifications"]
    return str(notice["notification_id"])


async def test_nothing_of_another_person_can_be_touched(
    arrive: Arrive, singer: Person, song: Song, carriers: Outside
) -> None:
    """Every method on every foreign thing answers as for one that never was: there is none, and nothing changes."""
    share = await singer.call("POST", f"/api/v1/tracks/{song.track_id}/share", {"share_types": ["link"]})
    before, stranger, writer = await singer.belongings(), await arrive(), await arrive()
    lyrics = await writer.call("POST", "/api/v1/ai/lyrics", {"theme": "the sea"})
    # Nothing is ever sent there: this person has no job from now on.
    webhook = await writer.call("POST", "/api/v1/webhooks", {"url": "https://1.1.1.1/cadenza"})
    foreign = {
        "track_id": song.track_id,
        "job_id": song.job_id,
        "asset_id": song.asset["asset_id"],
        "share_code": share["share_code"],
        "lyrics_id": lyrics["lyrics"]["lyrics_id"],
        "webhook_id": webhook["webhook"]["webhook_id"],
        "session_id": (await writer.call("GET", "/api/v1/users/me/sessions"))["sessions"][0]["session_id"],
        "identity_id": (await writer.call("GET", "/api/v1/users/me"))["user"]["identities"][0]["identity_id"],
        "notification_id": await _notice(writer, carriers),
        # Who may see a merge is tried where merges are offered (tests/auth/test_merge_rpc.py).
        "merge_id": NOBODYS["merge_id"],
        # Another person's export is asked for where exports are made, which takes its time.
        "export_id": NOBODYS["export_id"],
        # A delivery is looked for in its webhook, which is somebody else's already.
        "delivery_id": NOBODYS["delivery_id"],
    }
    touching = [each for each in PERSONAL if each.variables]
    assert {field.name for each in touching for field in each.variables} == set(foreign)
    for binding in touching:
        answer, absent = await ask(stranger, binding, **foreign), await ask(stranger, binding)

        assert (answer.status, answer.body["code"]) == (absent.status, absent.body["code"]), binding.path
        if (binding.verb, answer.status) == ("DELETE", 200):
            continue  # what is not there for this person need not be taken away; below it still is for its owner
        assert answer.status == 404, (binding.verb, binding.path, answer.body)
        assert answer.body["code"] in {10002, 50001}

    assert await singer.belongings() == before
    for kind in ("lyrics", "webhook"):
        kept = await writer.call("GET", f"/api/v1/{kind.removesuffix('s')}s/{foreign[f'{kind}_id']}")
        assert kept[kind][f"{kind}_id"] == foreign[f"{kind}_id"]
    assert (await writer.call("GET", "/api/v1/notifications"))["unread_count"] == 1
    assert (await stranger.credits()) == (100, 0)


async def test_foreign_things_in_a_body_are_not_there(arrive: Arrive, singer: Person, song: Song) -> None:
    """A song from somebody else's recording is refused without a trace, and so is somebody else's variant."""
    stranger = await arrive()
    before = await stranger.belongings()
    made = await stranger.ask("POST", "/api/v1/tracks", json={"asset_id": song.asset["asset_id"]})
    variant = {"variant_id": new_id()}
    chosen = await singer.ask("POST", f"/api/v1/tracks/{song.track_id}/choose", json=variant)

    assert made.refusal == (404, 10002, "NOT_FOUND")
    assert chosen.refusal == (404, 10002, "NOT_FOUND")
    assert await stranger.belongings() == before


async def test_a_stream_cannot_be_taken_over(arrive: Arrive, singer: Person, song: Song) -> None:
    """A stream resumed with another person's token is refused, by header and by parameter, while its owner reads it."""
    stranger = await arrive()
    path = f"/api/v1/jobs/{song.job_id}/events"
    owned = await singer.stream(path, after=song.events[-3].number)
    by_header = await stranger.ask("GET", path, headers={"Last-Event-ID": str(song.events[-3].number)})
    token, stranger.token = stranger.token, ""
    by_parameter = await stranger.ask("GET", f"{path}?access_token={token}&after_sequence=2")
    nobody = await stranger.ask("GET", path)

    assert owned[-1].name == "end"
    assert by_header.refusal == (404, 10002, "NOT_FOUND")
    assert by_parameter.refusal == (404, 10002, "NOT_FOUND")
    assert nobody.refusal == (401, 20001, "AUTH_REQUIRED")
