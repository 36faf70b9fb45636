"""The outlines of sounds, for those who own them."""

from dataclasses import replace

from services.kit.db.engine import Database
from services.kit.errors import ParamInvalid
from services.media.domain.asset import SOUNDS, Asset, Waveform
from services.media.storage import asset as assets
from services.media.storage import waveform as waveforms

# Of every sound that we make playable.
_SAMPLE_RATE_HZ = 44_100
_HIGHEST = 127


class Waveforms:
    """Finds outlines."""

    def __init__(self, db: Database) -> None:
        """Read from the database."""
        self._db = db

    async def get(self, user_id: str, asset_id: str, max_length: int) -> tuple[Waveform, bool]:
        """Return the outline of the person's sound in at most so many pixels (0: all), and whether it was measured.

        Raises AssetNotFound, AssetNotReady, ParamInvalid for what is no sound.
        """
        async with self._db.transaction() as tx:
            asset = await assets.get(tx, asset_id, user_id)
            found = await waveforms.find(tx, asset_id)
        asset.playable_key()
        if asset.kind not in SOUNDS:
            raise ParamInvalid.of("asset_id", f"is no sound but a {asset.kind}")
        waveform = found or _drawn(asset)
        return joined(waveform, max_length), found is not None


def joined(waveform: Waveform, max_length: int) -> Waveform:
    """Return the outline in at most so many pixels, each of several of the given ones; 0 leaves it as it is."""
    length = len(waveform.data) // 2
    if not max_length or length <= max_length:
        return waveform
    step = -(-length // max_length)
    signed = memoryview(waveform.data).cast("b")
    data = bytearray()
    for start in range(0, 2 * length, 2 * step):
        pixel = signed[start : start + 2 * step]
        data += bytes((min(pixel[::2]) & 0xFF, max(pixel[1::2]) & 0xFF))
    return replace(waveform, data=bytes(data), samples_per_pixel=waveform.samples_per_pixel * step)


def _drawn(asset: Asset) -> Waveform:
    """Return an outline of the few values that are known of a sound whose samples were never seen here."""
    count = max(len(asset.peaks), 1)
    values = [round(peak * _HIGHEST / 100) for peak in asset.peaks]
    data = b"".join(bytes((-value & 0xFF, value)) for value in values)
    samples = max(round(asset.duration_ms * _SAMPLE_RATE_HZ / 1000 / count), 1)
    return Waveform(_SAMPLE_RATE_HZ, samples, data, 0.0, 0.0)
