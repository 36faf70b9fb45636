"""What people own in the other services, for the tests of merges: real tables, real ownership, and a model of it all.

Composer, Media and Share take part with their ownership alone, which is all that a merge asks of them; Wallet is whole.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, insert, select

from cadenza.composer.v1.ownership_service_pb2_grpc import (
    add_OwnershipServiceServicer_to_server as add_composer,
)
from cadenza.media.v1.ownership_service_pb2_grpc import add_OwnershipServiceServicer_to_server as add_media
from cadenza.share.v1.ownership_service_pb2_grpc import add_OwnershipServiceServicer_to_server as add_share
from services.composer.rpc.ownership import OwnershipServicer as ComposerOwnership
from services.composer.storage import ownership as composer
from services.composer.storage import tables as composer_tables
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.db.ownership import Owned, Ownership
from services.kit.ids import new_id
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.around import concerns
from services.kit.rpc.identity import standard_verifier
from services.media.rpc.ownership import OwnershipServicer as MediaOwnership
from services.media.storage import ownership as media
from services.media.storage import tables as media_tables
from services.share.rpc.ownership import OwnershipServicer as ShareOwnership
from services.share.storage import ownership as share
from services.share.storage import tables as share_tables
from tests.auth.house import House

THINGS: dict[str, Owned] = {
    f"{service}.{thing.noun}": thing
    for service, owned in (("composer", composer.OWNED), ("media", media.OWNED), ("share", share.OWNED))
    for thing in owned
}


def open_estates(home: House, db: Database, redis: Any, *only: str) -> None:
    """Let the other three services take part, or those of them that are named."""
    made = (
        ("composer", add_composer, ComposerOwnership(Ownership(db, composer_tables.moves, composer.OWNED, now))),
        ("media", add_media, MediaOwnership(Ownership(db, media_tables.moves, media.OWNED, now), _no_files)),
        ("share", add_share, ShareOwnership(Ownership(db, share_tables.moves, share.OWNED, now))),
    )
    for name, add, servicer in made:
        if only and name not in only:
            continue
        application = Application(name=name, services=[Registered(add, servicer)])
        home.local.add(application, concerns(name, verifier=standard_verifier(home.local.peers(name), redis)))


async def _no_files(_: str) -> int:
    """Leave nothing, as if there were no files; how they are deleted is Media's to test."""
    return 0


def _row(name: str, user_id: str, track_id: str) -> tuple[Table, dict[str, Any]]:
    """Return a row of one kind that its table takes."""
    at, row_id = now(), new_id()
    thing = THINGS[name]
    row: dict[str, Any] = {thing.key: row_id, "user_id": user_id}
    match name:
        case "composer.tracks":
            row |= {"title": "t", "style": "pop", "mood": "happy", "lyrics": "", "voice_gender": "female"}
            row |= {"duration_s": 30, "seed": 1, "job_id": new_id(), "state": "ready", "request_id": new_id()}
        case "composer.lyrics":
            row |= {"theme": "t", "title": "t", "style": "pop", "mood": "happy", "language": "zh", "keywords": []}
            row |= {"seed": 1, "job_id": new_id(), "state": "ready"}
        case "composer.webhooks":
            row |= {"url": "https://a.test/", "event_kinds": [], "description": "", "secret_sealed": "x"}
        case "composer.exports":
            row |= {"track_id": track_id, "variant_id": new_id(), "job_id": new_id(), "state": "ready", "stems": []}
        case "composer.appeals":
            row |= {"track_id": track_id, "message": "m", "create_time": at}
        case "composer.running_jobs" | "media.jobs":
            row |= {"kind": "music", "state": "pending", "max_attempts": 3, "run_after": at, "deadline_time": at}
            row |= {"create_time": at, "update_time": at}
        case "media.assets":
            row |= {
                "kind": "recording",
                "state": "uploaded",
                "filename": "f",
                "content_type": "audio/wav",
                "size_bytes": 1,
            }
            row |= {"peaks": [], "create_time": at, "update_time": at, "request_key": f"k:{row_id}"}
        case "share.shares":
            row |= {"share_code": row_id.replace("-", "")[-10:], "track_id": track_id, "state": "active"}
            row |= {"create_time": at}
    return thing.table, row


async def give(db: Database, user_id: str, *names: str) -> list[tuple[str, str]]:
    """Let a person own one thing of each name; return name and id of each, a track's first where one is needed."""
    made: list[tuple[str, str]] = []
    async with db.transaction() as tx:
        for name in names:
            track_id = new_id()
            if name in {"composer.exports", "composer.appeals"}:
                table, row = _row("composer.tracks", user_id, track_id)
                row["track_id"] = track_id
                await tx.execute(insert(table).values(**row))
                made.append(("composer.tracks", track_id))
            table, row = _row(name, user_id, track_id)
            await tx.execute(insert(table).values(**row))
            made.append((name, row[THINGS[name].key]))
    return made


async def owners(db: Database, things: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return who owns each thing now."""
    found = {}
    async with db.transaction() as tx:
        for name, thing in THINGS.items():
            ids = [row_id for of, row_id in things if of == name]
            key = thing.table.c[thing.key]
            for row in await tx.execute(select(key, thing.table.c.user_id).where(key.in_(ids))):
                found[name, row[0]] = row[1]
    return found


@dataclass
class Model:
    """Who should own what, and how many credits there should be."""

    chance: random.Random
    things: dict[tuple[str, str], str] = field(default_factory=dict)
    credits: Counter[str] = field(default_factory=Counter)
    # What each merge took from whom: its things, and its credits.
    taken: dict[str, tuple[str, str, list[tuple[str, str]], int]] = field(default_factory=dict)

    def of(self, user_id: str) -> list[tuple[str, str]]:
        """Return what a person should own."""
        return [thing for thing, owner in self.things.items() if owner == user_id]

    def merge(self, merge_id: str, source: str, target: str) -> None:
        """Give everything of one to the other."""
        moved = self.of(source)
        self.taken[merge_id] = (source, target, moved, self.credits[source])
        self.things |= dict.fromkeys(moved, target)
        self.credits[target] += self.credits[source]
        self.credits[source] = 0

    def undo(self, merge_id: str) -> None:
        """Give back what is still where it was put."""
        source, target, moved, amount = self.taken.pop(merge_id)
        self.things |= {thing: source for thing in moved if self.things[thing] == target}
        back = min(amount, self.credits[target])
        self.credits[target] -= back
        self.credits[source] += back
