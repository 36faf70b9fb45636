"""How stretches of sounds become sounds of their own."""

from dataclasses import asdict, dataclass

from services.kit.db.engine import Database
from services.kit.errors import ParamInvalid
from services.kit.jobs.policy import Policy
from services.media.domain.asset import SOUNDS, Asset
from services.media.domain.slice import Slice
from services.media.domain.sound import MP3
from services.media.domain.upload import Limits
from services.media.storage import asset as assets
from services.media.usecases import transcode
from services.media.usecases.upload import Derived, Origin, Uploads

POLICY = Policy(kind="slice", queue="media", max_attempts=3, backoff_s=2.0, deadline_s=120.0)
# Of all jobs of Media.
POLICIES = {policy.kind: policy for policy in (transcode.POLICY, POLICY)}
_WAY = "slice"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody asks for; without an end the stretch goes on to that of the sound."""

    asset_id: str
    start_s: float
    end_s: float | None = None
    fade_in_s: float = 0.0
    fade_out_s: float = 0.0
    loudness_lufs: float | None = None
    filename: str = ""


class Slices:
    """Cuts of all users' sounds; each person cuts only their own."""

    def __init__(self, db: Database, uploads: Uploads, limits: Limits) -> None:
        """Use the collaborators; no slice lasts longer than a recording may."""
        self._db = db
        self._uploads = uploads
        self._longest_ms = limits.longest_ms

    async def create(self, origin: Origin, wish: Wish, request_hash: str) -> Asset:
        """Return the new asset with its job queued; a repeat returns that of the first time.

        Raises AssetNotFound, AssetNotReady, ParamInvalid with the field, TooManyOpen, IdempotencyKeyReused; then
        nothing was made.
        """
        # First of all: what was cut stays what it is when its source has gone since.
        before = await self._uploads.made_before(origin, _WAY, request_hash)
        if before:
            return before
        async with self._db.transaction() as tx:
            source = await assets.get(tx, wish.asset_id, origin.user_id)
        source.playable_key()
        if source.kind not in SOUNDS:
            raise ParamInvalid.of("asset_id", f"is no sound but a {source.kind}")
        cut = Slice(
            start_s=wish.start_s,
            end_s=source.duration_ms / 1000 if wish.end_s is None else wish.end_s,
            fade_in_s=wish.fade_in_s,
            fade_out_s=wish.fade_out_s,
            loudness_lufs=wish.loudness_lufs,
        )
        cut.check(source.duration_ms, self._longest_ms)
        name = wish.filename or source.filename
        stem = name.rpartition(".")[0] or name
        derived = Derived(
            way=_WAY,
            kind=source.kind,
            filename=f"{stem}.{MP3.extension}",
            content_type=MP3.content_type,
            job_kind=POLICY.kind,
            params={"source_asset_id": source.asset_id, "slice": asdict(cut)},
        )
        return await self._uploads.derive(origin, derived, request_hash)
