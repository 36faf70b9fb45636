"""The document is true of the running mesh: examples, schemas, statuses, links."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.openapi import document
from gateway.routes import public_bindings
from services.mesh.postgres import Postgres
from tests.document.examples import misfits, operations, sent
from tests.document.runs import run
from tests.document.standing import Standing, standing

BINDINGS = public_bindings()
pytestmark = pytest.mark.timeout(400)
# Codes that are guessed and places that nobody can resolve are refused as they should be, whatever they look like.
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
