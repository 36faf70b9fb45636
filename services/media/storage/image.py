"""The statements on pictures: their sizes and smaller versions."""

from dataclasses import asdict

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.media.domain.image import Image, Variant
from services.media.storage.tables import images


async def save(tx: AsyncConnection, asset_id: str, image: Image) -> None:
    """Write what is known of a picture."""
    variants = [asdict(variant) for variant in image.variants]
    await tx.execute(
        insert(images).values(asset_id=asset_id, width_px=image.width_px, height_px=image.height_px, variants=variants)
    )


async def find(tx: AsyncConnection, asset_id: str) -> Image | None:
    """Return what is known of a picture; None for what is none, or was made by a service."""
    row = (await tx.execute(select(images).where(images.c.asset_id == asset_id))).mappings().one_or_none()
    if row is None:
        return None
    return Image(row["width_px"], row["height_px"], tuple(Variant(**each) for each in row["variants"]))


async def remove(tx: AsyncConnection, asset_id: str) -> list[str]:
    """Return the keys of the smaller versions of an asset, which is no picture any more."""
    statement = delete(images).where(images.c.asset_id == asset_id).returning(images.c.variants)
    found = (await tx.execute(statement)).scalar_one_or_none()
    return [variant["storage_key"] for variant in found or ()]
