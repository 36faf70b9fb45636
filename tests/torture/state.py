"""Everything that is left after a round, as plain rows: what the check looks at, and what a test can spoil."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.torture.crowd import Wish

Row = dict[str, Any]

QUERIES: Mapping[str, str] = {
    "accounts": "SELECT account_id::text, owner_id::text, kind, balance, version, last_hash FROM wallet.accounts",
    "entries": """SELECT entry_id::text, account_id::text, version, transfer_id::text, amount, balance_after,
                  previous_hash, hash, create_time FROM wallet.entries ORDER BY account_id, version""",
    "transfers": "SELECT transfer_id::text, operation, request_id, user_id::text, reference_id FROM wallet.transfers",
    "holds": "SELECT hold_id::text, user_id::text, amount, settled, state FROM wallet.holds",
    "jobs": "SELECT 'composer' AS service, job_id::text, kind, user_id::text, subject_id::text, state, last_sequence"
    " FROM composer.jobs UNION ALL SELECT 'media', job_id::text, kind, user_id::text, subject_id::text, state,"
    " last_sequence FROM media.jobs",
    "events": "SELECT job_id::text, sequence, state, final FROM composer.job_events UNION ALL"
    " SELECT job_id::text, sequence, state, final FROM media.job_events ORDER BY 1, 2",
    "outbox": "SELECT 'composer' AS service, topic, key, payload::text, attempt, last_error FROM composer.outbox"
    " WHERE done_time IS NULL UNION ALL SELECT 'media', topic, key, payload::text, attempt, last_error"
    " FROM media.outbox WHERE done_time IS NULL UNION ALL SELECT 'auth', topic, key, payload::text, attempt,"
    " last_error FROM auth.outbox WHERE done_time IS NULL",
    "steps": "SELECT job_id::text, name FROM composer.job_steps",
    "tracks": """SELECT track_id::text, user_id::text, job_id::text, state, asset_id::text, cover_asset_id::text,
                 request_id, delete_time IS NOT NULL AS deleted FROM composer.tracks""",
    "variants": "SELECT track_id::text, label, asset_id::text, midi_asset_id::text FROM composer.variants",
    "assets": """SELECT asset_id::text, user_id::text, kind, state, job_id::text, raw_key, storage_key, request_key,
                 delete_time IS NOT NULL AS deleted FROM media.assets""",
    "objects": "SELECT object_key, delete_after IS NULL AS kept FROM media.objects",
    "shares": "SELECT share_code, track_id::text, user_id::text, state FROM share.shares",
}


@dataclass
class State:
    """The rows of every table that matters, the files of the object store, and what users and engine remember."""

    accounts: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    transfers: list[Row] = field(default_factory=list)
    holds: list[Row] = field(default_factory=list)
    jobs: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    outbox: list[Row] = field(default_factory=list)
    steps: list[Row] = field(default_factory=list)
    tracks: list[Row] = field(default_factory=list)
    variants: list[Row] = field(default_factory=list)
    assets: list[Row] = field(default_factory=list)
    objects: list[Row] = field(default_factory=list)
    shares: list[Row] = field(default_factory=list)
    files: set[str] = field(default_factory=set)
    whole_files: set[str] = field(default_factory=set)
    wishes: list[Wish] = field(default_factory=list)
    balances: dict[str, tuple[int, int]] = field(default_factory=dict)
    kept_assets: dict[str, str] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)


async def read_tables(database_url: str) -> State:
    """Return the rows as they stand, all read in one snapshot."""
    state = State()
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for name, query in QUERIES.items():
                setattr(state, name, [dict(row) for row in await connection.fetch(query)])
    finally:
        await connection.close()
    return state


def read_files(folder: Path, state: State) -> None:
    """Add the files of the local object store, by the hash of their key; whole are those with facts and bytes."""
    for path in folder.rglob("*"):
        if path.is_file():
            stem = path.name.partition(".")[0]
            state.files.add(stem)
            if path.suffix == ".json":
                state.whole_files.add(stem)


def file_of(key: str) -> str:
    """Return the name under which the local object store keeps a key."""
    return hashlib.sha256(key.encode()).hexdigest()


async def unrest(database_url: str) -> list[str]:
    """Return what is still going on, as sentences; nothing when the mesh is quiet."""
    state = await read_tables(database_url)
    going = [f"{job['service']} job {job['job_id']} is {job['state']}" for job in state.jobs if not ended(job)]
    going += [f"hold {hold['hold_id']} is open" for hold in state.holds if hold["state"] == "held"]
    going += [
        f"{message['service']} owes {message['topic']} {message['key']}: {message['last_error']}"
        for message in owed(state)
    ]
    return going


def owed(state: State) -> list[Row]:
    """Return the messages that have still to arrive.

    A release of a hold that never came to be is repeated for a minute in case the hold is on its way, and is none.
    """
    known = {hold["hold_id"] for hold in state.holds}
    return [
        message
        for message in state.outbox
        if message["topic"] != "release" or message["key"] in known or "NOT_FOUND" not in message["last_error"]
    ]


def ended(job: Row) -> bool:
    """Return whether nothing can happen to the job any more."""
    return job["state"] in {"completed", "failed", "cancelled"}
