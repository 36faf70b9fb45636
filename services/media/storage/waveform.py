"""The statements on the outlines of sounds."""

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.media.domain.asset import Waveform
from services.media.storage.tables import waveforms

_NAMES = tuple(Waveform.__dataclass_fields__)


async def save(tx: AsyncConnection, asset_id: str, waveform: Waveform) -> None:
    """Write the outline of an asset."""
    values = {name: getattr(waveform, name) for name in _NAMES}
    await tx.execute(insert(waveforms).values(asset_id=asset_id, **values))


async def find(tx: AsyncConnection, asset_id: str) -> Waveform | None:
    """Return the outline of an asset, None for one that was not measured."""
    row = (await tx.execute(select(waveforms).where(waveforms.c.asset_id == asset_id))).mappings().one_or_none()
    return Waveform(**{name: row[name] for name in _NAMES}) if row else None


async def remove(tx: AsyncConnection, asset_id: str) -> None:
    """Remove the outline of an asset if there is one."""
    await tx.execute(delete(waveforms).where(waveforms.c.asset_id == asset_id))
