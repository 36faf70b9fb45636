"""The promises, each as a function from what is left to the sentences that say how it is broken.

Nothing here looks at how the mesh works: whoever reads the tables with these sentences in mind would find the same.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from services.wallet.domain.ledger import Entry, first_broken
from tests.torture.state import Row, State, ended, file_of

PRICE = 20
# What is owed when both songs were made before their owner cancelled the rest.
MADE_PRICE = 10
GRANT = 100


def by(rows: list[Row], name: str) -> dict[str, list[Row]]:
    """Return the rows by one of their columns."""
    found = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return found


def books_balance(state: State) -> Iterator[str]:
    """The sum of all accounts is zero, and every transfer moves as much out as in."""
    total = sum(account["balance"] for account in state.accounts)
    if total:
        yield f"the accounts sum to {total}"
    for transfer_id, entries in by(state.entries, "transfer_id").items():
        if sum(entry["amount"] for entry in entries):
            yield f"transfer {transfer_id} does not sum to zero"
    for account in state.accounts:
        if account["balance"] < 0 and account["kind"] not in {"grants", "adjustments"}:
            yield f"account {account['account_id']} is overdrawn by {-account['balance']}"


def chains_are_whole(state: State) -> Iterator[str]:
    """Every account's entries continue one another to the account's own balance, version and hash."""
    entries = by(state.entries, "account_id")
    for account in state.accounts:
        lines = [Entry(**row) for row in entries.get(account["account_id"], [])]
        broken = first_broken(lines)
        if broken is not None:
            yield f"entry {broken.version} of account {account['account_id']} breaks the chain"
        last = (lines[-1].version, lines[-1].balance_after, lines[-1].hash) if lines else (0, 0, account["last_hash"])
        if last != (account["version"], account["balance"], account["last_hash"]):
            yield f"account {account['account_id']} does not end with its last entry"


def jobs_are_paid_once(state: State) -> Iterator[str]:
    """A completed job is charged once and whole, a cancelled one for its finished steps, a failed one is refunded."""
    jobs = {job["job_id"]: job for job in state.jobs if job["service"] == "composer"}
    holds = {hold["hold_id"]: hold for hold in state.holds}
    closings = Counter(
        each["reference_id"] for each in state.transfers if each["operation"] in {"settle", "release", "expire"}
    )
    for hold_id, hold in holds.items():
        job = jobs.get(hold_id)
        due = 0 if job is None else _due(state, job)
        wanted = "settled" if due else "released"
        if hold["state"] != wanted:
            state_of_job = "not there" if job is None else job["state"]
            yield f"hold {hold_id} is {hold['state']} while its job is {state_of_job}"
        if hold["settled"] != due:
            yield f"hold {hold_id} of {hold['amount']} was settled with {hold['settled']}"
        if closings[hold_id] != 1:
            yield f"hold {hold_id} was closed {closings[hold_id]} times"
    for job_id, job in jobs.items():
        if job_id not in holds and job["state"] == "completed":
            yield f"job {job_id} is completed and was never paid"


def _due(state: State, job: Row) -> int:
    """Return what a job that has ended costs its owner."""
    if job["state"] == "completed":
        return PRICE
    made = any(step["job_id"] == job["job_id"] and step["name"] == "music_generate" for step in state.steps)
    return MADE_PRICE if job["state"] == "cancelled" and made else 0


def jobs_end(state: State) -> Iterator[str]:
    """Every job has ended, and nothing is owed to another service any more."""
    for job in state.jobs:
        if not ended(job):
            yield f"{job['service']} job {job['job_id']} is still {job['state']}"
    known = {hold["hold_id"] for hold in state.holds}
    for message in state.outbox:
        if message["topic"] != "release" or message["key"] in known:
            yield f"{message['service']} still owes {message['topic']} {message['key']}: {message['last_error']}"


def logs_are_whole(state: State) -> Iterator[str]:
    """Every job's log counts from 1 without gaps, and its last event, and only that, is final and says how it ended."""
    logs = by(state.events, "job_id")
    for job in state.jobs:
        events = logs.get(job["job_id"], [])
        if [event["sequence"] for event in events] != list(range(1, job["last_sequence"] + 1)):
            yield f"the log of job {job['job_id']} has gaps"
        finals = [event for event in events if event["final"]]
        if ended(job) and (len(finals) != 1 or events[-1] != finals[0] or finals[0]["state"] != job["state"]):
            yield f"the log of job {job['job_id']} does not end once with {job['state']}"


def tracks_are_whole(state: State) -> Iterator[str]:
    """A completed job leaves a track with two variants and a cover that are there, any other job none of them."""
    jobs = {job["job_id"]: job for job in state.jobs}
    variants = by(state.variants, "track_id")
    alive = {asset["asset_id"] for asset in state.assets if asset["state"] == "ready" and not asset["deleted"]}
    for track in state.tracks:
        job = jobs.get(track["job_id"])
        if job is None:
            yield f"track {track['track_id']} has no job"
            continue
        found = variants.get(track["track_id"], [])
        sounds = [each[name] for each in found for name in ("asset_id", "midi_asset_id") if each[name]]
        if track["deleted"]:
            continue
        if job["state"] == "completed":
            if track["state"] != "ready" or sorted(each["label"] for each in found) != ["A", "B"]:
                yield f"track {track['track_id']} is {track['state']} with {len(found)} variants, its job is completed"
            if not {*sounds, track["cover_asset_id"]} <= alive:
                yield f"track {track['track_id']} has sounds, scores or a cover that are not there"
        elif ended(job) and (found or track["state"] == "ready"):
            yield f"track {track['track_id']} has {len(found)} variants though its job is {job['state']}"


def objects_have_owners(state: State) -> Iterator[str]:
    """Every living asset has its object, every kept object its asset, and every file of the store its row."""
    files, kept = state.whole_files, {each["object_key"] for each in state.objects if each["kept"]}
    used = set()
    for asset in state.assets:
        keys = [] if asset["deleted"] else [key for key in (asset["raw_key"], asset["storage_key"]) if key]
        used.update(keys)
        if asset["state"] == "ready" and not asset["deleted"] and file_of(asset["storage_key"]) not in files:
            yield f"asset {asset['asset_id']} has lost its object"
    for key in kept - used:
        yield f"object {key} is kept and belongs to no asset"
    known = {file_of(each["object_key"]) for each in state.objects}
    for stem in state.files - known:
        yield f"the store holds {stem}, of which no row knows"


def wishes_are_kept(state: State) -> Iterator[str]:
    """What a user was told is so: the track and its job exist, once for each key, and were seen without a gap."""
    tracks = {track["track_id"]: track for track in state.tracks}
    jobs = {job["job_id"]: job for job in state.jobs}
    keys = Counter((track["user_id"], track["request_id"]) for track in state.tracks)
    for wish in state.wishes:
        if wish.taken_back:
            yield f"wish {wish.key} was acknowledged and then refused: {wish.taken_back}"
        if len(set(wish.answers)) > 1:
            yield f"wish {wish.key} made several jobs: {sorted(set(wish.answers))}"
        if keys[wish.user_id, wish.key] > 1:
            yield f"wish {wish.key} made {keys[wish.user_id, wish.key]} tracks"
        if not wish.answers:
            continue
        track, job = tracks.get(wish.track_id), jobs.get(wish.job_id)
        if track is None or job is None:
            yield f"wish {wish.key} was acknowledged and is lost"
            continue
        if wish.deleted and not track["deleted"]:
            yield f"track {wish.track_id} was deleted and is there"
        if wish.cancelled and job["state"] not in {"cancelled", "completed", "failed"}:
            yield f"job {wish.job_id} was cancelled and is {job['state']}"
        yield from _watched_whole(wish.key, wish.watched, job["last_sequence"] if wish.saw_final else 0)


def _watched_whole(key: str, seen: list[int], last: int) -> Iterator[str]:
    if seen and seen != list(range(seen[0], seen[-1] + 1)):
        yield f"the watcher of wish {key} saw {seen}"
    if last and seen[-1] != last:
        yield f"the watcher of wish {key} was told the end at {seen[-1]} of {last}"


def balances_are_right(state: State) -> Iterator[str]:
    """Each user has what was given less the price of what was made, as the API tells them, and nothing held."""
    spent = Counter[str]()
    for job in state.jobs:
        if job["service"] == "composer":
            spent[job["user_id"]] += _due(state, job)
    for user_id, (available, held) in state.balances.items():
        wanted = GRANT - spent[user_id]
        if (available, held) != (wanted, 0):
            yield f"user {user_id} is told {available} and {held} held instead of {wanted} and 0"


def assets_are_kept(state: State) -> Iterator[str]:
    """Every recording that a user was told of is there, ready, and has lost nothing."""
    assets = {asset["asset_id"]: asset for asset in state.assets}
    for asset_id in state.kept_assets:
        asset = assets.get(asset_id)
        if asset is None or asset["deleted"]:
            yield f"asset {asset_id} was acknowledged and is lost"
        elif asset["state"] not in {"ready", "failed"}:
            yield f"asset {asset_id} is still {asset['state']}"


def shares_are_kept(state: State) -> Iterator[str]:
    """Every share that a user was told of and did not call back is valid."""
    shares = {share["share_code"]: share for share in state.shares}
    for wish in state.wishes:
        if wish.share_code and shares.get(wish.share_code, {}).get("state") != "active":
            yield f"share {wish.share_code} was acknowledged and is not valid"


def orders_are_bought_once(state: State) -> Iterator[str]:
    """The engine was never given the same piece of work twice."""
    for order, count in state.orders.items():
        if count != 1:
            yield f"order {order} was bought {count} times"


PROMISES: tuple[Callable[[State], Iterator[str]], ...] = (
    books_balance,
    chains_are_whole,
    jobs_are_paid_once,
    jobs_end,
    logs_are_whole,
    tracks_are_whole,
    objects_have_owners,
    wishes_are_kept,
    balances_are_right,
    assets_are_kept,
    shares_are_kept,
    orders_are_bought_once,
)


def violations(state: State) -> list[str]:
    """Return every way in which a promise is broken, each named after the promise."""
    return [f"{promise.__name__}: {fact}" for promise in PROMISES for fact in promise(state)]
