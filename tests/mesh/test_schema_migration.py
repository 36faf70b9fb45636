"""``cadenza migrate``: on the home's own database, stopped or running, and what it says when there is none."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from services.mesh.errors import CannotStart
from services.mesh.home import Home
from services.mesh.postgres import Postgres
from services.mesh.schema import bring_up_to_date, patiently


async def test_a_stopped_home_is_migrated_and_left_stopped(tmp_path: Path) -> None:
    """The embedded database is made, gets every service's schema, and nothing runs afterwards."""
    home = tmp_path / "home"
    command = [sys.executable, "-m", "services.mesh", "migrate"]
    environment = {**Home().environ, "CADENZA_HOME": str(home), "DATABASE_URL": ""}
    for _ in range(2):  # The second time there is nothing to do, and that is no error.
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)  # noqa: ASYNC221
        assert done.returncode == 0, done.stderr
    assert not Home(home, {}).is_claimed()
    postgres = Postgres(home / "postgres")
    try:
        connection = await asyncpg.connect(postgres.start())
        schemas = {row["nspname"] for row in await connection.fetch("SELECT nspname FROM pg_namespace")}
        await connection.close()
    finally:
        postgres.remove()
    assert {"auth", "wallet", "composer", "media", "share"} <= schemas


def test_a_database_that_does_not_answer_is_named_with_what_to_do() -> None:
    """After the wait the person is told that nothing answers and which setting to look at."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://me:hush@127.0.0.1:{closed.getsockname()[1]}/x"
        with pytest.raises(CannotStart, match="does not answer") as refused:
            patiently(url, wait_s=0.2)
    assert "DATABASE_URL" in refused.value.advice
    assert "hush" not in str(refused.value)


def test_a_home_that_runs_is_not_claimed_for_a_migration(tmp_path: Path) -> None:
    """Beside a live owner the running database is addressed; nothing is started over it."""
    home = Home(tmp_path / "home", {})
    home.claim()
    try:
        other = Home(tmp_path / "home", {})
        # No port is remembered and nothing listens: the attempt ends in words, not in a second server.
        (tmp_path / "home" / "ports.json").write_text('{"postgres": 1025}')
        with pytest.raises(CannotStart, match="does not answer"):
            bring_up_to_date(other)
        assert (tmp_path / "home" / "lock").read_text().strip() == str(os.getpid())
    finally:
        home.release()
        Postgres(tmp_path / "home" / "postgres").remove()
