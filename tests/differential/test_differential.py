"""Every public method answers alike however it is called."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.mesh.postgres import Postgres
from services.mesh.up import running_mesh
from tests.differential.play import SETTINGS, Play
from tests.e2e.conftest import home_at


@pytest.fixture
def root() -> Iterator[Path]:
    """Yield a folder for a home, which goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="cadenza-ways-", dir="/var/tmp", ignore_cleanup_errors=True) as made:
        yield Path(made) / "home"
        Postgres(Path(made) / "home" / "postgres").remove()


@pytest.mark.timeout(300)
async def test_every_method_answers_alike_in_every_way(root: Path) -> None:
    """At the edge, by mutual TLS, as JSON, gRPC-Web and Connect the same wishes have the same answers and effects."""
    played = Play(seed=20261130)
    async with running_mesh(home_at(root, **SETTINGS)) as mesh, played.at(mesh):
        await played.run(cases=2)

    assert played.found == []
    assert len(played.bindings) > 90
    assert played.reasons[""] > 20
