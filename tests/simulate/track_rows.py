"""Tracks in memory: the operations of `services.composer.storage.track`, kept without SQL."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.composer.domain.track import Recipe, Track, TrackState, Variant
from tests.simulate.database import Table, Transaction


@dataclass(frozen=True)
class MemoryTracks:
    """Tracks, variants and recipes; the names of the methods are those of the storage module."""

    tracks: Table = field(default_factory=lambda: Table("tracks"))
    by_request: Table = field(default_factory=lambda: Table("tracks_by_request"))
    away: Table = field(default_factory=lambda: Table("tracks_put_away"))
    variants: Table = field(default_factory=lambda: Table("variants"))
    recipes: Table = field(default_factory=lambda: Table("recipes"))
    users: Table = field(default_factory=lambda: Table("user_locks"))

    async def lock_user(self, tx: Transaction, user_id: str) -> None:
        """Make other submissions of the same user wait until this transaction ends."""
        await tx.trip()
        await tx.claim(self.users, user_id)

    async def lock_everybody(self, tx: Transaction) -> None:
        """Make all other submissions wait until this transaction ends."""
        await tx.trip()
        await tx.claim(self.users, "everybody")

    async def add(self, tx: Transaction, track: Track) -> None:
        """Write a new track without variants."""
        await tx.trip()
        if track.request_id:
            await tx.insert(self.by_request, (track.user_id, track.request_id), track.track_id)
        await tx.insert(self.tracks, track.track_id, track)

    async def find(self, tx: Transaction, track_id: str, *, user_id: str = "", lock: str = "") -> Track | None:
        """Return the living track with its variants, or None."""
        await tx.trip()
        track: Track | None = await tx.lock(self.tracks, track_id) if lock else tx.get(self.tracks, track_id)
        if track is None or tx.get(self.away, track_id) or (user_id and track.user_id != user_id):
            return None
        return self._whole(tx, track)

    async def put_away(
        self, tx: Transaction, track_id: str, user_id: str, *, since: datetime | None = None
    ) -> Track | None:
        """Return the user's track that was put away, at that time or later if one is given, or None."""
        await tx.trip()
        track: Track | None = tx.get(self.tracks, track_id)
        at: datetime | None = tx.get(self.away, track_id)
        if track is None or track.user_id != user_id or at is None or (since is not None and at < since):
            return None
        return track

    async def find_by_request(self, tx: Transaction, user_id: str, request_id: str) -> Track | None:
        """Return the track that this request id made for the user, put away or not, or None."""
        await tx.trip()
        track_id = tx.get(self.by_request, (user_id, request_id))
        return None if track_id is None else self._whole(tx, tx.get(self.tracks, track_id))

    async def page(
        self,
        tx: Transaction,
        user_id: str,
        *,
        before: str,
        size: int,
        words: str = "",
        trashed_since: datetime | None = None,
    ) -> list[Track]:
        """Return up to *size* of the user's tracks below the id *before*, newest first: living ones or the trash."""
        await tx.trip()
        found = [
            track
            for track_id, track in tx.scan(self.tracks)
            if track.user_id == user_id
            and self._shown(tx, track_id, trashed_since)
            and all(word.lower() in f"{track.title}\n{track.lyrics}".lower() for word in words.split())
            and (not before or track.track_id < before)
        ]
        found.sort(key=lambda track: track.track_id, reverse=True)
        return [self._whole(tx, track) for track in found[:size]]

    async def with_variants(self, tx: Transaction, found: Sequence[Track]) -> list[Track]:
        """Return the tracks with their variants filled in."""
        await tx.trip()
        return [self._whole(tx, track) for track in found]

    async def change(self, tx: Transaction, track_id: str, now: datetime, **values: Any) -> None:
        """Set columns of one track and its update time."""
        await tx.trip()
        track: Track | None = await tx.lock(self.tracks, track_id)
        if track is None:
            return
        if "delete_time" in values:
            tx.writes[self.away.name, track_id] = (self.away, values.pop("delete_time"))
        tx.write(self.tracks, track_id, replace(track, **values, update_time=now))

    async def settle_state(self, tx: Transaction, job_id: str, state: TrackState, now: datetime) -> None:
        """Set the state of the track that the job makes; a track put away is left as it is."""
        await tx.trip()
        for track_id in [track_id for track_id, track in tx.scan(self.tracks) if track.job_id == job_id]:
            if tx.get(self.away, track_id):
                continue
            track: Track | None = await tx.lock(self.tracks, track_id)
            if track is not None and not tx.get(self.away, track_id):
                tx.write(self.tracks, track_id, replace(track, state=state, update_time=now))

    async def add_variants(self, tx: Transaction, made: Sequence[Variant]) -> None:
        """Write the variants of a track."""
        await tx.trip()
        for each in made:
            await tx.insert(self.variants, (each.track_id, each.label), each)

    async def add_recipe(self, tx: Transaction, recipe: Recipe) -> None:
        """Write what the track was made of."""
        await tx.trip()
        await tx.insert(self.recipes, recipe.track_id, recipe)

    async def find_recipe(self, tx: Transaction, track_id: str) -> Recipe | None:
        """Return what the track was made of, or None when that is not known."""
        await tx.trip()
        found: Recipe | None = tx.get(self.recipes, track_id)
        return found

    async def asset_in_use(self, tx: Transaction, asset_id: str, *, trashed_since: datetime) -> bool:
        """Say whether a track in the making reads the asset, or one that is not gone for good plays or shows it."""
        await tx.trip()
        sounding = {
            each.track_id for _, each in tx.scan(self.variants) if asset_id in {each.asset_id, each.midi_asset_id}
        }
        return any(
            (track.asset_id == asset_id and track.state is TrackState.GENERATING and not tx.get(self.away, track_id))
            or track.cover_asset_id == asset_id
            or track_id in sounding
            for track_id, track in tx.scan(self.tracks)
            if self._shown(tx, track_id, None) or self._shown(tx, track_id, trashed_since)
        )

    def _shown(self, tx: Transaction, track_id: str, trashed_since: datetime | None) -> bool:
        at: datetime | None = tx.get(self.away, track_id)
        return at is None if trashed_since is None else at is not None and at >= trashed_since

    async def remove(self, tx: Transaction, track_id: str) -> None:
        """Remove a track as if it had never been asked for."""
        await tx.trip()
        track: Track | None = await tx.lock(self.tracks, track_id)
        if track is None:
            return
        tx.delete(self.tracks, track_id)
        if track.request_id:
            await tx.lock(self.by_request, (track.user_id, track.request_id))
            tx.delete(self.by_request, (track.user_id, track.request_id))

    def _whole(self, tx: Transaction, track: Track) -> Track:
        variants = [row for row in (tx.get(self.variants, (track.track_id, label)) for label in "AB") if row]
        return replace(track, variants=tuple(variants)) if variants else track
