"""Named queries of the keys that sign access tokens; private keys are sealed before they come here."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.storage.tables import signing_keys

# Any constant will do, as long as every process uses the same one.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('auth.signing_keys'))")


@dataclass(frozen=True)
class SealedKey:
    """A signing key as it is stored."""

    key_id: str
    public_key: bytes
    sealed_private_key: str
    create_time: datetime


async def lock(tx: AsyncConnection) -> None:
    """Wait until no other process is making a key; until the transaction ends none will."""
    await tx.execute(_LOCK)


async def list_all(tx: AsyncConnection) -> list[SealedKey]:
    """Return every key, the oldest first."""
    rows = await tx.execute(select(signing_keys).order_by(signing_keys.c.create_time, signing_keys.c.key_id))
    return [SealedKey(row.key_id, bytes(row.public_key), row.sealed_private_key, row.create_time) for row in rows]


async def add(tx: AsyncConnection, key: SealedKey) -> None:
    """Write a new key."""
    await tx.execute(
        insert(signing_keys).values(
            key_id=key.key_id,
            public_key=key.public_key,
            sealed_private_key=key.sealed_private_key,
            create_time=key.create_time,
        )
    )
