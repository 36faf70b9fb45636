"""The document is true of the running mesh: examples, schemas, statuses, links."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from cadenza.options.v1 import options_pb2
from gateway.openapi import document
from gateway.routes import public_bindings
from services.mesh.postgres import Postgres
from tests.document.examples import misfits, operations, sent
from tests.document.matrix import (
    MAKERS,
    after_deletion,
    findings,
    first_token,
    is_list,
    pages,
    removers,
    rows,
    told,
    unknown,
)
from tests.document.runs import run
from tests.document.standing import Standing, standing
from tests.e2e.people import until

BINDINGS = public_bindings()
pytestmark = pytest.mark.timeout(400)
# Codes that are guessed and places that nobody can resolve are refused as they should be, whatever they look like.
_REFUSED, _NOBODY = 400, 401
# The last session and the only way to log in are not taken away here.
_LAST = {"session_id", "identity_id"}
# It is there to take back what was put away.
_BACK = {"RestoreTrack"}
_GUESSES = {"Register", "ResetPassword", "VerifyCode", "BindIdentity", "AppleLogin"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Yield a folder for a mesh, which goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="cadenza-document-", dir="/var/tmp", ignore_cleanup_errors=True) as made:
        yield Path(made)
        Postgres(Path(made) / "home" / "postgres").remove()


@pytest.fixture(scope="module")
async def place(folder: Path) -> AsyncIterator[Standing]:
    """The running mesh of this module."""
    async with standing(folder / "home") as running:
        yield running


def test_every_example_fits_its_schema_and_none_is_missing() -> None:
    """Requests, parameters, answers and refusals of every operation have examples, and their own schemas take them."""
    made: Any = orjson.loads(document(BINDINGS, server="http://gateway.test"))
    wrong = {each.name: found for each in operations(made, BINDINGS) if (found := list(misfits(each)))}
    assert wrong == {}


@pytest.mark.point(30)
async def test_every_example_is_answered_as_documented(place: Standing) -> None:
    """Each request example, sent as it stands, is well formed, and its answer fits the schema of its status."""
    wrong = {}
    for each in operations(place.document, BINDINGS):
        found = await sent(place, each)
        if found and not (found.startswith("refused") and each.binding.method.name in _GUESSES):
            wrong[each.name] = found
    assert wrong == {}


async def test_schemathesis_finds_nothing(place: Standing, folder: Path) -> None:
    """2,000 requests of all phases, of fixed seed: no 5xx, no answer against its schema, no status undeclared."""
    found = await run(place, folder, seed=20261130, examples=2, part=5)
    assert found.requests >= 2000
    assert (found.failures, found.errors) == ([], []), found.said


async def test_nobody_touches_what_is_not_theirs(place: Standing) -> None:
    """Every method by every id: no token is 401, no role 403, a stranger hears what is told of nothing.

    Afterwards the owner still has everything; a kind of id that nobody has spoken for is a finding of its own.
    """
    every = list(rows(operations(place.document, BINDINGS)))
    owner = await place.person()
    await until(owner.credits, lambda found: found == (100, 0))
    things = {kind: await make(owner) for kind, make in MAKERS.items()}
    wrong = [f"nothing makes a {kind}" for kind in unknown(every)]
    for row in every:
        wrong += await findings(place, row, things)
    places = {row.operation.binding.path for row in removers(every).values()}
    for row in every:
        if row.operation.binding.verb == "GET" and row.operation.binding.path in places and row.kind in things:
            status, reason = await told(row, owner, things[row.kind])
            wrong += [f"{row.name} is {reason} for its owner"] if status >= _REFUSED else []
    assert not wrong, "\n".join(wrong)
    assert len(every) > 60


async def test_what_was_taken_away_is_not_there(place: Standing) -> None:
    """Each method answers its owner about a deleted thing as about one that never was, but for what takes it back."""
    every = [each for each in rows(operations(place.document, BINDINGS)) if each.access == options_pb2.ACCESS_USER]
    owner = await place.person()
    await until(owner.credits, lambda found: found == (100, 0))
    wrong: list[str] = []
    for kind, remove in removers(every).items():
        if kind not in MAKERS or kind in _LAST:
            continue
        thing = await MAKERS[kind](owner)
        assert (await told(remove, owner, thing))[0] < _REFUSED
        for row in every:
            if row.kind == kind and row.operation.binding.method.name not in _BACK:
                wrong += await after_deletion(row, owner, thing)
    assert not wrong, "\n".join(wrong)


@pytest.mark.point(25)
async def test_a_page_token_opens_nothing_of_others(place: Standing) -> None:
    """A token of one person's list shows another person only what is their own, or is refused, in every list.

    The tokens are those of all lists with a page of one, and are tried in all lists: the query they come from is
    another one too. Who may list is asked anew for each page.
    """
    lists = [each for each in operations(place.document, BINDINGS) if is_list(each)]
    owner, other = await place.person(), await place.person()
    for person in (owner, other):
        await until(person.credits, lambda found: found == (100, 0))
        for make in MAKERS.values():
            for _ in range(2):
                await make(person)
    tokens = {token for each in lists for token in [await first_token(each, owner)] if token}
    wrong: list[str] = []
    for each in lists:
        status, own, _ = await pages(each, other)
        for token in tokens if status < _REFUSED else ():
            paged, shown, _ = await pages(each, other, token)
            if not (paged == _REFUSED or (paged < _REFUSED and shown <= own)):
                wrong.append(f"{each.name}: {paged} {shown - own}")
        nobody = await pages(each, place.nobody(), next(iter(tokens)))
        if each.binding.method.access != options_pb2.ACCESS_PUBLIC and nobody[0] != _NOBODY:
            wrong.append(f"{each.name} without a token: {nobody[0]}")
    assert not wrong, "\n".join(wrong)
    assert len(lists) > 15
    assert len(tokens) > 5
