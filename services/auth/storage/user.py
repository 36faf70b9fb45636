"""Named queries of users and their identities."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.user import About, Identity, Profile, Provider, User
from services.auth.storage.tables import identities, passwords, profiles, users


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


_HAS_PASSWORD = exists().where(passwords.c.user_id == users.c.user_id).label("has_password")


def _users(*more: Any) -> Select[Any]:
    return select(users, _HAS_PASSWORD, *more)


async def find_by_identity(tx: AsyncConnection, provider: Provider, hashes: Sequence[bytes]) -> tuple[User, str] | None:
    """Return the user that an identity leads to and the identity's id, None for an unknown one.

    An identity found under an older key's hash gets the newest one, which is the first.
    """
    statement = (
        _users(identities.c.identity_id, identities.c.provider_id_hash)
        .join(identities, identities.c.user_id == users.c.user_id)
        .where(identities.c.provider == provider.value, identities.c.provider_id_hash.in_(hashes))
    )
    row = (await tx.execute(statement)).first()
    if row is None:
        return None
    if bytes(row.provider_id_hash) != hashes[0]:
        renewed = update(identities).where(identities.c.identity_id == row.identity_id)
        await tx.execute(renewed.values(provider_id_hash=hashes[0]))
    return _user(row), row.identity_id


async def find_by_username(tx: AsyncConnection, username: str) -> User | None:
    """Return the user who logs in by a name, however its letters are written."""
    row = (
        await tx.execute(_users().where(users.c.username_key == username.casefold(), users.c.merged_into.is_(None)))
    ).first()
    return None if row is None else _user(row)


async def add(tx: AsyncConnection, new: NewUser) -> bool:
    """Write a user with their first identity; False when somebody else has just written that identity.

    Waits for a transaction that is about to. After False the transaction must be rolled back.
    """
    await tx.execute(
        insert(users).values(
            user_id=new.user_id,
            display_name=new.profile.display_name,
            avatar_url=new.profile.avatar_url,
            create_time=new.create_time,
            update_time=new.create_time,
        )
    )
    return await add_identity(tx, new)


async def add_identity(tx: AsyncConnection, new: NewUser) -> bool:
    """Write an identity of a user who exists; False when somebody has just written it."""
    statement = (
        insert(identities)
        .values(
            identity_id=new.identity_id,
            user_id=new.user_id,
            provider=new.provider.value,
            provider_id_hash=new.provider_id_hash,
            sealed_account=new.sealed_account,
            create_time=new.create_time,
            update_time=new.create_time,
        )
        .on_conflict_do_nothing(index_elements=["provider", "provider_id_hash"])
        .returning(identities.c.identity_id)
    )
    return (await tx.execute(statement)).first() is not None


async def set_shown(tx: AsyncConnection, user_id: str, *, at: datetime, **shown: str) -> None:
    """Let a user be shown by another `display_name` or `avatar_url`."""
    statement = update(users).where(users.c.user_id == user_id)
    await tx.execute(statement.values(**shown, update_time=at))


async def about(tx: AsyncConnection, user_id: str) -> About:
    """Return what a person says of themselves."""
    columns = [profiles.c[name.name] for name in fields(About)]
    row = (await tx.execute(select(*columns).where(profiles.c.user_id == user_id))).first()
    return About() if row is None else About(*row)


async def set_about(tx: AsyncConnection, user_id: str, *, at: datetime, **said: str) -> None:
    """Change what a person says of themselves; what is not named stays."""
    statement = insert(profiles).values(user_id=user_id, create_time=at, update_time=at, **said)
    await tx.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_={**said, "update_time": at}))


async def set_username(tx: AsyncConnection, user_id: str, username: str, *, at: datetime) -> bool:
    """Give a user a name to log in by; False when another one has it."""
    taken = exists().where(users.c.username_key == username.casefold(), users.c.user_id != user_id)
    if (await tx.execute(select(taken))).scalar():
        return False
    statement = update(users).where(users.c.user_id == user_id)
    try:
        # Somebody may have taken it since; the rest of the transaction goes on.
        async with tx.begin_nested():
            await tx.execute(statement.values(username=username, username_key=username.casefold(), update_time=at))
    except IntegrityError:
        return False
    return True


async def get(tx: AsyncConnection, user_id: str) -> User | None:
    """Return a user, None when there is none."""
    return await _one(tx, users.c.user_id == user_id)


async def lock(tx: AsyncConnection, user_id: str) -> User | None:
    """Return a user, locked until the transaction ends; None when there is none."""
    await tx.execute(select(users.c.user_id).where(users.c.user_id == user_id).with_for_update())
    return await _one(tx, users.c.user_id == user_id)


async def sealed_accounts(tx: AsyncConnection, user_id: str, provider: Provider) -> list[tuple[bytes, str]]:
    """Return hash and sealed account of a user's identities with a provider, the newest first."""
    statement = select(identities.c.provider_id_hash, identities.c.sealed_account)
    statement = statement.where(identities.c.user_id == user_id, identities.c.provider == provider.value)
    rows = await tx.execute(statement.order_by(identities.c.identity_id.desc()))
    return [(bytes(row.provider_id_hash), row.sealed_account) for row in rows]


async def list_identities(tx: AsyncConnection, user_id: str) -> list[tuple[Identity, str]]:
    """Return the ways a user can log in, the oldest first, each with what of it is sealed."""
    statement = select(identities).where(identities.c.user_id == user_id).order_by(identities.c.identity_id)
    return [
        (Identity(row.identity_id, Provider(row.provider), row.create_time), row.sealed_account)
        for row in await tx.execute(statement)
    ]


async def password_of(tx: AsyncConnection, user_id: str) -> str:
    """Return the hash of a user's password, empty when they have none."""
    statement = select(passwords.c.password_hash).where(passwords.c.user_id == user_id)
    return (await tx.execute(statement)).scalar() or ""


async def set_password(tx: AsyncConnection, user_id: str, password_hash: str, *, at: datetime) -> None:
    """Give a user a password in place of the one they had."""
    statement = insert(passwords).values(user_id=user_id, password_hash=password_hash, create_time=at, update_time=at)
    changed = {"password_hash": password_hash, "update_time": at}
    await tx.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=changed))


async def remove_identity(tx: AsyncConnection, identity_id: str) -> None:
    """Take a way to log in away."""
    await tx.execute(delete(identities).where(identities.c.identity_id == identity_id))


async def _one(tx: AsyncConnection, condition: ColumnElement[bool]) -> User | None:
    row = (await tx.execute(_users().where(condition))).first()
    return None if row is None else _user(row)


def _user(row: Row[Any]) -> User:
    return User(
        user_id=row.user_id,
        display_name=row.display_name,
        roles=tuple(row.roles),
        disabled=row.disable_time is not None,
        create_time=row.create_time,
        username=row.username or "",
        merged_into=row.merged_into or "",
        has_password=row.has_password,
        avatar_url=row.avatar_url,
        erase_time=row.erase_time,
        erased=row.delete_time is not None,
    )
