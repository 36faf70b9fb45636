"""A minute of torture with a fixed seed: every promise is kept, and a broken one would have been seen."""

import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.kit.crash import POINTS
from services.kit.errors import RemoteError
from services.kit.ids import new_id
from tests.torture.report import document, markdown
from tests.torture.run import Outcome, short_take, torture
from tests.torture.standing import Standing
from tests.torture.state import State, owed
from tests.torture.verdict import PROMISES, violations

pytestmark = pytest.mark.timeout(1500)
SEED = 20
SECONDS = 60.0
MOST_ROUNDS = 8


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the account of PostgreSQL can reach."""
    made = Path(tempfile.mkdtemp(prefix="cadenza-torture-", dir="/var/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
async def outcome(folder: Path) -> Outcome:
    """A minute of rounds, and more of them only until every crash point was passed."""

    def enough(so_far: Outcome) -> bool:
        return so_far.seconds > SECONDS and so_far.seen >= set(POINTS)

    return await torture(
        folder / "mesh", short_take(), seed=SEED, rounds=MOST_ROUNDS, length_s=8.0, users=2, enough=enough
    )


async def test_every_promise_is_kept(outcome: Outcome) -> None:
    """Whatever is killed, frozen, cut and restarted: no song is lost, made half, or paid other than once."""
    assert outcome.violations == []
    assert outcome.kills >= 5
    assert outcome.jobs["music completed"] > 0
    assert outcome.jobs["transcode completed"] > 0


async def test_no_crash_point_is_dead(outcome: Outcome) -> None:
    """The story passes every point of the list, and dies of some of them; no process dies of anything else."""
    causes = {death.cause for death in outcome.deaths}

    assert outcome.seen == set(POINTS)
    assert causes & set(POINTS)
    assert {cause for cause in causes if not cause.startswith("kill ")} <= set(POINTS)


async def test_the_run_is_told(outcome: Outcome) -> None:
    """The report names the seed, the kills, the jobs and the violations, and the document every death."""
    text, told = markdown(outcome), document(outcome)

    assert f"SEED={SEED}" in text
    assert f"| real SIGKILLs | {outcome.kills} |" in text
    assert "| violations | 0 |" in text
    assert sum(told["kills"].values()) == len(told["deaths"]) == outcome.kills


def test_a_release_of_nothing_keeps_nobody_waiting() -> None:
    """What Composer goes on releasing although it was never held is not waited for; a release that failed is."""
    failure = repr(RemoteError("NOT_FOUND", "there is no such hold"))
    message = {"service": "composer", "topic": "release", "key": "a", "payload": "", "attempt": 3}
    missed = {**message, "last_error": repr(RemoteError("UNAVAILABLE", "Wallet does not answer"))}

    assert owed(State(outbox=[{**message, "last_error": failure}])) == []
    assert owed(State(outbox=[{**message, "last_error": failure}], holds=[{"hold_id": "a"}])) != []
    assert owed(State(outbox=[missed])) == [missed]


def test_who_stood_without_a_break_is_known() -> None:
    """A name that fell and rose again within the time did not stand; one that fell before or after did."""
    standing = Standing()
    for at, names in ((0.0, {"a", "b"}), (1.0, {"a"}), (2.0, {"a", "b"}), (3.0, {"b"}), (3.5, {"b"})):
        standing.note(at, names)

    assert standing.throughout(0.2, 0.8) == {"a", "b"}
    assert standing.throughout(0.2, 2.5) == {"a"}
    assert standing.throughout(2.1, 9.0) == {"b"}
    assert standing.throughout(0.5, 4.0) == set()
    assert standing.throughout(-1.0, 0.5) == set()
    assert Standing().throughout(0.0, 1.0) == set()


def completed(state: State) -> str:
    """Return a song's job that was completed and whose track is still there."""
    there = {track["job_id"] for track in state.tracks if not track["deleted"]}
    found = (job["job_id"] for job in state.jobs if job["state"] == "completed" and job["job_id"] in there)
    return str(next(found))


def _hold_of(state: State) -> dict[str, object]:
    return next(hold for hold in state.holds if hold["hold_id"] == completed(state))


def _settled_twice(state: State) -> None:
    settled = next(each for each in state.transfers if each["operation"] == "settle")
    state.transfers.append(settled | {"transfer_id": new_id(), "request_id": "another"})


def _released_instead(state: State) -> None:
    _hold_of(state).update(state="released", settled=0)


def _cancelled_and_charged_whole(state: State) -> None:
    job_id = completed(state)
    next(job for job in state.jobs if job["job_id"] == job_id)["state"] = "cancelled"


def _orphan_hold(state: State) -> None:
    state.holds.append(_hold_of(state) | {"hold_id": new_id(), "state": "held", "settled": 0})


def _never_paid(state: State) -> None:
    state.holds.remove(_hold_of(state))


def _money_from_nowhere(state: State) -> None:
    next(account for account in state.accounts if account["kind"] == "user")["balance"] += 20


def _entry_changed(state: State) -> None:
    entry = state.entries[len(state.entries) // 2]
    entry["hash"] = bytes([entry["hash"][0] ^ 1]) + entry["hash"][1:]


def _entry_dropped(state: State) -> None:
    del state.entries[len(state.entries) // 2]


def _event_lost(state: State) -> None:
    job_id = completed(state)
    state.events.remove(next(each for each in state.events if each["job_id"] == job_id and each["sequence"] == 2))


def _second_end(state: State) -> None:
    job_id = completed(state)
    next(each for each in state.events if each["job_id"] == job_id)["final"] = True


def _without_end(state: State) -> None:
    job_id = completed(state)
    next(job for job in state.jobs if job["job_id"] == job_id)["state"] = "running"


def _message_stuck(state: State) -> None:
    owed = {"service": "composer", "topic": "settle", "key": completed(state), "last_error": "", "attempt": 9}
    state.outbox.append(owed)


def _half_a_song(state: State) -> None:
    track = next(each for each in state.tracks if each["job_id"] == completed(state))
    state.variants.remove(next(each for each in state.variants if each["track_id"] == track["track_id"]))


def _sound_lost(state: State) -> None:
    track = next(each for each in state.tracks if each["job_id"] == completed(state))
    asset_id = next(each["asset_id"] for each in state.variants if each["track_id"] == track["track_id"])
    next(each for each in state.assets if each["asset_id"] == asset_id)["deleted"] = True


def _object_lost(state: State) -> None:
    state.whole_files.clear()


def _file_without_row(state: State) -> None:
    state.files.add("f" * 64)


def _object_without_asset(state: State) -> None:
    state.objects.append({"object_key": "music/nobodys.mp3", "kept": True})


def _wish_lost(state: State) -> None:
    job_id = completed(state)
    state.tracks.remove(next(each for each in state.tracks if each["job_id"] == job_id))


def _wish_made_twice(state: State) -> None:
    wish = next(each for each in state.wishes if each.answers)
    wish.answers.append((new_id(), new_id()))


def _watcher_missed_one(state: State) -> None:
    del next(each for each in state.wishes if len(each.watched) > 3).watched[1]


def _balance_wrong(state: State) -> None:
    user_id, (available, held) = next(iter(state.balances.items()))
    state.balances[user_id] = (available, held + 20)


def _recording_lost(state: State) -> None:
    state.kept_assets[new_id()] = "somebody"


def _share_lost(state: State) -> None:
    state.wishes[0].share_code = "zzzzzzzz"


def _bought_twice(state: State) -> None:
    state.orders[next(iter(state.orders))] += 1


@pytest.mark.parametrize(
    ("plant", "promise"),
    [
        (_settled_twice, "jobs_are_paid_once"),
        (_released_instead, "jobs_are_paid_once"),
        (_cancelled_and_charged_whole, "jobs_are_paid_once"),
        (_orphan_hold, "jobs_are_paid_once"),
        (_never_paid, "jobs_are_paid_once"),
        (_money_from_nowhere, "books_balance"),
        (_entry_changed, "chains_are_whole"),
        (_entry_dropped, "chains_are_whole"),
        (_event_lost, "logs_are_whole"),
        (_second_end, "logs_are_whole"),
        (_without_end, "jobs_end"),
        (_message_stuck, "jobs_end"),
        (_half_a_song, "tracks_are_whole"),
        (_sound_lost, "tracks_are_whole"),
        (_object_lost, "objects_have_owners"),
        (_file_without_row, "objects_have_owners"),
        (_object_without_asset, "objects_have_owners"),
        (_wish_lost, "wishes_are_kept"),
        (_wish_made_twice, "wishes_are_kept"),
        (_watcher_missed_one, "wishes_are_kept"),
        (_balance_wrong, "balances_are_right"),
        (_recording_lost, "assets_are_kept"),
        (_share_lost, "shares_are_kept"),
        (_bought_twice, "orders_are_bought_once"),
    ],
)
async def test_a_broken_promise_is_seen(outcome: Outcome, plant: Callable[[State], None], promise: str) -> None:
    """A violation planted in a copy of what the run left is found, and named after the promise that it breaks."""
    spoiled = copy.deepcopy(outcome.state)
    plant(spoiled)
    found = {each.partition(":")[0] for each in violations(spoiled)}

    assert promise in found
    assert found <= {each.__name__ for each in PROMISES}
