"""Making a finished song again from its recipe, and comparing the bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.composer.domain.errors import RecipeMissing, TrackNotFound
from services.composer.providers import Order
from services.composer.storage import track as storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.composer.domain.track import Recipe, Variant
    from services.composer.providers import Label, Made, MusicProvider
    from services.kit.db.engine import Database


@dataclass(frozen=True)
class Replayed:
    """A variant made once more: what was made now, and whether its mp3 has the bytes of the first time."""

    made: Made
    same: bool
    engine_then: str


class Replay:
    """Makes variants again; changes nothing."""

    def __init__(self, db: Database, provider: MusicProvider) -> None:
        """Read recipes from the database and hand them to the provider."""
        self._db = db
        self._provider = provider

    async def recipe(self, track_id: str) -> tuple[Recipe, tuple[Variant, ...]]:
        """Return the recipe of a living track and its variants; raises TrackNotFound and RecipeMissing."""
        async with self._db.transaction() as tx:
            track = await storage.find(tx, track_id)
            recipe = await storage.find_recipe(tx, track_id)
        if track is None:
            raise TrackNotFound("no living track has this id", kind="track", id=track_id)
        if recipe is None:
            raise RecipeMissing("nobody kept what this track was made of", kind="recipe", id=track_id)
        return recipe, track.variants

    async def again(self, recipe: Recipe, variant: Variant, progress: Callable[[int, str], None]) -> Replayed:
        """Return the variant made again; raises what the provider raises."""
        label: Label = "A" if variant.label == "A" else "B"
        order = Order(label=label, **recipe.order)
        made = await self._provider.make(order, progress, lambda: False)
        same = hashlib.sha256(made.mp3).hexdigest() == variant.mp3_sha256
        return Replayed(made, same, recipe.engine)
