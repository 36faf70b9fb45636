"""The books of a mesh that has worked, compared by the operator's command while it goes on working."""

import asyncio
import json
import sys

from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.mesh.up import RunningMesh
from services.wallet.usecases.credit import Credits
from tests.e2e.conftest import Arrive
from tests.e2e.people import Person, Song


async def _reconcile(mesh: RunningMesh, *arguments: str, **settings: str) -> tuple[int, list[dict[str, object]]]:
    """Return the status and the findings of the command on the mesh's database."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.mesh",
        "reconcile",
        "--json",
        *arguments,
        env={**mesh.environment, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        told, complaint = await process.communicate()
    assert told, complaint.decode()
    return process.returncode or 0, json.loads(told)


async def test_after_a_song_books_and_jobs_agree(mesh: RunningMesh, singer: Person, song: Song) -> None:
    """With a finished song, its settlement and everything that other stories left, nothing differs."""
    assert song.job_id
    assert await singer.credits() == (80, 0)
    assert await _reconcile(mesh) == (0, [])


async def test_the_ledger_of_a_working_mesh_is_proved(mesh: RunningMesh, song: Song) -> None:
    """The operator's command reads every entry beside the running mesh, says so and leaves with status 0."""
    assert song.job_id
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.mesh", "ledger", "verify"),
        env=mesh.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        told, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    assert "The ledger is whole" in told.decode()


async def test_a_hold_without_a_job_is_told_and_given_back(mesh: RunningMesh, arrive: Arrive) -> None:
    """Without --repair the finding is told and status is 1; with it the credits are back, and the entry says why."""
    person = await arrive()
    db = Database(mesh.environment["DATABASE_URL"])
    job_id = new_id()
    await Credits(db, now, signup_grant_credits=100).hold(request_id=job_id, user_id=person.user_id, price_kind="music")
    await db.close()
    status, found = await _reconcile(mesh, JOB_GONE_S="0")
    mine = [each for each in found if each["subject"] == job_id]
    assert (status, [(each["kind"], each["repaired"]) for each in mine]) == (1, [("HOLD_WITHOUT_JOB", False)])
    assert await person.credits() == (80, 20)
    _, found = await _reconcile(mesh, "--repair", JOB_GONE_S="0")
    assert [each["repaired"] for each in found if each["subject"] == job_id] == [True]
    assert await person.credits() == (100, 0)
    entries = (await person.call("GET", "/api/v1/wallet/entries?kind=release"))["entries"]
    assert [(each["amount_credits"], each["description"]) for each in entries] == [(20, mine[0]["explanation"])]
