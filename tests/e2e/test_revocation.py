"""A share that is called back is closed at every door."""

from services.mesh.up import RunningMesh
from tests.e2e.people import Person, Song
from tests.e2e.revocations import GIVE_UP_S, revoke_trials


async def test_a_share_that_is_called_back_is_closed_at_every_door(
    mesh: RunningMesh, singer: Person, song: Song
) -> None:
    """Page, player, oEmbed, JSON on both platforms, gRPC, sound, range, cover and list were open and are closed."""
    found = await revoke_trials(mesh, singer, song.track_id, trials=2, connections=2)

    assert len(found) == 2
    for closed in found:
        assert len(closed) == 10
        assert [name for name, seconds in closed.items() if seconds >= GIVE_UP_S] == []
