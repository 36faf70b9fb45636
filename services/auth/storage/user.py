"""Named queries of users and their identities."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.user import Identity, Profile, Provider, User
from services.auth.storage.tables import identities, users


@dataclass(frozen=True)
class NewUser:
    """A user to be made together with the identity that brought them."""

    user_id: str
    identity_id: str
    provider: Provider
    provider_id_hash: bytes
    sealed_account: str
    profile: Profile
    create_time: datetime


async def find_by_identity(tx: AsyncConnection, provider: Provider, provider_id_hash: bytes) -> tuple[User, str] | None:
    """Return the user that an identity leads to and the identity's id, None for an unknown one."""
    statement = (
        select(users, identities.c.identity_id)
        .join(identities, identities.c.user_id == users.c.user_id)
        .where(identities.c.provider == provider.value, identities.c.provider_id_hash == provider_id_hash)
    )
    row = (await tx.execute(statement)).first()
    return None if row is None else (_user(row), row.identity_id)


async def add(tx: AsyncConnection, new: NewUser) -> bool:
    """Write a user with their first identity; False when somebody else has just written that identity.

    Waits for a transaction that is about to. After False the transaction must be rolled back.
    """
    times = {"create_time": new.create_time, "update_time": new.create_time}
    await tx.execute(
        insert(users).values(
            user_id=new.user_id,
            display_name=new.profile.display_name,
            avatar_url=new.profile.avatar_url,
            **times,
        )
    )
    statement = (
        insert(identities)
        .values(
            identity_id=new.identity_id,
            user_id=new.user_id,
            provider=new.provider.value,
            provider_id_hash=new.provider_id_hash,
            sealed_account=new.sealed_account,
            **times,
        )
        .on_conflict_do_nothing(index_elements=["provider", "provider_id_hash"])
        .returning(identities.c.identity_id)
    )
    return (await tx.execute(statement)).first() is not None


async def get(tx: AsyncConnection, user_id: str) -> User | None:
    """Return a user, None when there is none."""
    row = (await tx.execute(select(users).where(users.c.user_id == user_id))).first()
    return None if row is None else _user(row)


async def list_identities(tx: AsyncConnection, user_id: str) -> list[Identity]:
    """Return the ways a user can log in, the oldest first."""
    statement = select(identities).where(identities.c.user_id == user_id).order_by(identities.c.identity_id)
    return [Identity(row.identity_id, Provider(row.provider), row.create_time) for row in await tx.execute(statement)]


def _user(row: Row[Any]) -> User:
    return User(
        user_id=row.user_id,
        display_name=row.display_name,
        roles=tuple(row.roles),
        disabled=row.disable_time is not None,
        create_time=row.create_time,
    )
