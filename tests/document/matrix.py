"""Who may touch what, as rows made from the contract: every public method and every id that its request takes.

A row is a method with one of its ids. For each kind of id somebody owns one that lives and one that was taken away;
ids that need more than a moment to make are named with the tests that try them. A kind that is in neither list stops
the test, so that a new method cannot come without its fixture.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from cadenza.options.v1 import options_pb2
from gateway.rules import rules_of
from gateway.shapes import shape_of
from services.kit.ids import new_id
from tests.document.examples import Operation, ask
from tests.document.standing import Standing
from tests.e2e.people import Person

_FOUND, _DENIED, _NONE, _MISSING = 200, 403, 401, 404
_WORDS: Final = {"theme": "the sea", "in_background": True}

_MADE: Final = tuple(f"/api/v1/{name}" for name in ("tracks", "assets", "jobs", "shares", "lyrics", "webhooks"))

# Kinds whose things take a finished song or another person's consent, and where they are tried by hand.
ELSEWHERE: Final[Mapping[str, str]] = {
    "share_code": "tests/e2e/test_refusals_access.py",
    "export_id": "tests/e2e/test_export_http.py",
    "merge_id": "tests/auth/test_merge_rpc.py",
    "delivery_id": "tests/composer/test_webhook_rpc.py",
    "variant_id": "tests/e2e/test_refusals_access.py",
    "notification_id": "tests/e2e/test_refusals_access.py",
    "lyrics_version_id": "tests/composer/test_track_rpc.py",
    # They belong to nobody: what an administrator shows, whom one acts upon, and the id of a code is its own secret.
    "banner_id": "the showcase is everybody's",
    "template_id": "the showcase is everybody's",
    "user_id": "only administrators name a user",
    "provider_id": "names a device or an address",
    "code_id": "anybody may read what became of a code whose id they were told",
}


@dataclass(frozen=True)
class Row:
    """A method and one of the ids that its request takes."""

    operation: Operation
    field: str

    @property
    def kind(self) -> str:
        """Return what kind of thing the id names."""
        return self.field.removeprefix("source_")

    @property
    def name(self) -> str:
        """Return what it is called in a report."""
        return f"{self.operation.name} by {self.field}"

    @property
    def access(self) -> int:
        """Return who may call it."""
        return self.operation.binding.method.access


def rows(every: list[Operation]) -> Iterator[Row]:
    """Yield a row for each id of each method; older spellings of a route are the same method."""
    for operation in every:
        if operation.binding.additional:
            continue
        for field in shape_of(operation.binding.method.request_type).fields:
            named = rules_of(field).string.uuid or field.name.endswith(("_id", "share_code"))
            if named and field.name != "request_id":
                yield Row(operation, field.name)


async def _track(person: Person) -> str:
    made = await person.call("POST", "/api/v1/tracks", {"lyrics": "[verse]\nla la la", "duration_s": 30})
    await person.call("POST", f"/api/v1/jobs/{made['job_id']}/cancel", {})
    return str(made["track_id"])


async def _job(person: Person) -> str:
    return str((await person.call("POST", "/api/v1/ai/lyrics", _WORDS))["job"]["job_id"])


async def _lyrics(person: Person) -> str:
    return str((await person.call("POST", "/api/v1/ai/lyrics", _WORDS))["lyrics"]["lyrics_id"])


async def _asset(person: Person) -> str:
    wish = {"filename": "hum.wav", "content_type": "audio/wav", "size_bytes": 100}
    return str((await person.call("POST", "/api/v1/assets/audio/presign", wish, Idempotency_Key=new_id()))["asset_id"])


async def _webhook(person: Person) -> str:
    # Nothing is ever sent there: its owner hears of no job that ends later.
    wish = {"url": "https://1.1.1.1/cadenza"}
    made = await person.call("POST", "/api/v1/webhooks", wish, Idempotency_Key=new_id())
    return str(made["webhook"]["webhook_id"])


async def _session(person: Person) -> str:
    return str((await person.call("GET", "/api/v1/users/me/sessions"))["sessions"][0]["session_id"])


async def _identity(person: Person) -> str:
    return str((await person.call("GET", "/api/v1/users/me"))["user"]["identities"][0]["identity_id"])


MAKERS: Final[Mapping[str, Callable[[Person], Awaitable[str]]]] = {
    "track_id": _track,
    "job_id": _job,
    "lyrics_id": _lyrics,
    "asset_id": _asset,
    "webhook_id": _webhook,
    "session_id": _session,
    "identity_id": _identity,
}


async def told(row: Row, caller: Person, value: str) -> tuple[int, str]:
    """Return status and reason that the caller is answered about a thing; the reason is empty for a success."""
    status, _, raw = await ask(row.operation, caller, {row.field: value})
    return status, "" if status < _NONE - 1 else str(orjson.loads(raw)["error"])


async def findings(place: Standing, row: Row, things: Mapping[str, str]) -> list[str]:
    """Return what is wrong when somebody without a token, without the role or without the thing asks for it."""
    wrong: list[str] = []
    value, stranger, nobody = things.get(row.kind, new_id()), await place.person(), place.nobody()
    if row.access != options_pb2.ACCESS_PUBLIC:
        answer = await told(row, nobody, value)
        if answer != (_NONE, "AUTH_REQUIRED"):
            wrong.append(f"{row.name} without a token: {answer}")
    foreign, absent = await told(row, stranger, value), await told(row, stranger, new_id())
    if foreign != absent:
        wrong.append(f"{row.name} tells a stranger {foreign} and of nothing {absent}")
    if row.access == options_pb2.ACCESS_ADMIN and foreign != (_DENIED, "PERMISSION_DENIED"):
        wrong.append(f"{row.name} without the role: {foreign}")
    if row.operation.binding.verb == "POST" and foreign[0] >= _NONE - 1:
        left = [path for path in _MADE if await _listed(stranger, path)]
        wrong += [f"{row.name} failed and left something in {path}" for path in left]
    known = row.kind in MAKERS and row.access == options_pb2.ACCESS_USER
    if known and foreign[0] < _NONE - 1 and row.operation.binding.verb != "DELETE":
        wrong.append(f"{row.name} lets a stranger: {foreign}")
    return wrong


async def _listed(person: Person, path: str) -> list[Any]:
    data = await person.call("GET", path)
    return next(value for value in data.values() if isinstance(value, list))


async def after_deletion(row: Row, owner: Person, gone: str) -> list[str]:
    """Return what is wrong when the owner asks for what they took away: it is told as what never was.

    Taking it away once more may be answered as the first time was.
    """
    once, never = await told(row, owner, gone), await told(row, owner, new_id())
    if row.operation.binding.verb == "DELETE" and once[0] < _NONE - 1:
        return []
    return [] if once == never else [f"{row.name} tells of a deleted thing {once} and of nothing {never}"]


def removers(every: list[Row]) -> Mapping[str, Row]:
    """Return the method that takes away each kind of thing, by the kind."""
    found: dict[str, Row] = {}
    for row in every:
        binding = row.operation.binding
        if binding.verb == "DELETE" and [each.name for each in binding.variables] == [row.field]:
            found.setdefault(row.kind, row)
    return found


def unknown(every: list[Row]) -> set[str]:
    """Return the kinds of ids for which nobody has said how one is made, or where else they are tried."""
    return {row.kind for row in every} - {*MAKERS, *ELSEWHERE}


def is_list(operation: Operation) -> bool:
    """Return whether the method lists things page by page, under no other spelling of it and no other thing."""
    fields = shape_of(operation.binding.method.request_type).fields_by_name
    return "page_token" in fields and not operation.binding.variables


async def first_token(operation: Operation, caller: Person) -> str:
    """Return the token of the second page of one thing; empty when the caller has no two, or may not list."""
    status, _, raw = await ask(operation, caller, {"page_size": "1"})
    return str(orjson.loads(raw)["data"]["next_page_token"]) if status == _FOUND else ""


async def pages(operation: Operation, caller: Person, token: str = "") -> tuple[int, set[str], str]:
    """Return status, the things and the next token of a page of a hundred.

    Raises AssertionError when a listed thing has no id to tell it by.
    """
    given = {"page_size": "100"} | ({"page_token": token} if token else {})
    status, _, raw = await ask(operation, caller, given)
    if status != _FOUND:
        return status, set(), ""
    data: Any = orjson.loads(raw)["data"]
    listed = next((value for value in data.values() if isinstance(value, list)), [])
    return status, {orjson.dumps(_stable(each)).decode() for each in listed}, str(data["next_page_token"])


def _stable(thing: Any) -> Any:
    """Return what of a thing does not change between two looks: its ids and its number."""
    kept = {key: value for key, value in thing.items() if key.endswith("_id") or key in {"sequence", "share_code"}}
    assert kept, thing
    return kept
