"""Named queries of sessions and their refresh tokens."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.session import OpenSession, Origin, RefreshToken, Session
from services.auth.domain.user import Provider
from services.auth.storage.tables import identities, refresh_tokens, sessions


async def add(tx: AsyncConnection, session: Session, origin: Origin, *, identity_id: str, at: datetime) -> None:
    """Write a new session."""
    await tx.execute(
        insert(sessions).values(
            session_id=session.session_id,
            user_id=session.user_id,
            identity_id=identity_id,
            expire_time=session.expire_time,
            **asdict(origin),
            create_time=at,
            update_time=at,
        )
    )


async def get(tx: AsyncConnection, session_id: str) -> Session | None:
    """Return a session, None when there is none."""
    row = (await tx.execute(select(sessions).where(sessions.c.session_id == session_id))).first()
    return None if row is None else _session(row)


async def lock_by_token(tx: AsyncConnection, token_hash: bytes) -> Session | None:
    """Return the session of a refresh token, locked: whoever refreshes it waits for the one before."""
    statement = (
        select(sessions)
        .join(refresh_tokens, refresh_tokens.c.session_id == sessions.c.session_id)
        .where(refresh_tokens.c.token_hash == token_hash)
        .with_for_update(of=sessions)
    )
    row = (await tx.execute(statement)).first()
    return None if row is None else _session(row)


async def revoke(tx: AsyncConnection, session_id: str, *, cause: str, at: datetime) -> bool:
    """End a session; False when it had ended before."""
    statement = (
        update(sessions)
        .where(sessions.c.session_id == session_id, sessions.c.revoke_time.is_(None))
        .values(revoke_time=at, revoke_cause=cause, update_time=at)
    )
    return (await tx.execute(statement)).rowcount == 1


async def extend(tx: AsyncConnection, session_id: str, origin: Origin, *, expire_time: datetime, at: datetime) -> None:
    """Let a session live on, where its refresh came from, until the newest refresh token runs out."""
    statement = update(sessions).where(sessions.c.session_id == session_id)
    await tx.execute(statement.values(expire_time=expire_time, update_time=at, **asdict(origin)))


async def page(tx: AsyncConnection, user_id: str, *, at: datetime, before: str, most: int) -> list[OpenSession]:
    """Return open sessions of a user with ids below `before` ("" for all), the newest first."""
    statement = (
        select(sessions, identities.c.provider)
        .outerjoin(identities, identities.c.identity_id == sessions.c.identity_id)
        .where(_open(user_id, at))
        .order_by(sessions.c.session_id.desc())
        .limit(most)
    )
    if before:
        statement = statement.where(sessions.c.session_id < before)
    return [
        OpenSession(
            session_id=row.session_id,
            provider=Provider(row.provider) if row.provider else None,
            origin=Origin(row.platform, row.address, row.agent),
            create_time=row.create_time,
            seen_time=row.update_time,
            expire_time=row.expire_time,
        )
        for row in await tx.execute(statement)
    ]


async def revoke_all(
    tx: AsyncConnection, user_id: str, *, but: str, cause: str, at: datetime, identity_id: str = ""
) -> list[str]:
    """End every open session of a user except `but`, or those of one identity; return the ids of those ended now."""
    statement = (
        update(sessions)
        .where(_open(user_id, at))
        .values(revoke_time=at, revoke_cause=cause, update_time=at)
        .returning(sessions.c.session_id)
    )
    if but:
        statement = statement.where(sessions.c.session_id != but)
    if identity_id:
        statement = statement.where(sessions.c.identity_id == identity_id)
    return list((await tx.execute(statement)).scalars())


def _open(user_id: str, at: datetime) -> ColumnElement[bool]:
    return and_(sessions.c.user_id == user_id, sessions.c.revoke_time.is_(None), sessions.c.expire_time > at)


async def add_token(tx: AsyncConnection, session_id: str, token: RefreshToken, *, at: datetime) -> None:
    """Write a refresh token that has just been given out."""
    await tx.execute(
        insert(refresh_tokens).values(
            token_hash=token.token_hash, session_id=session_id, expire_time=token.expire_time, create_time=at
        )
    )


async def get_token(tx: AsyncConnection, token_hash: bytes | None) -> RefreshToken | None:
    """Return a refresh token by its hash; None when there is none."""
    if token_hash is None:
        return None
    row = (await tx.execute(select(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash))).first()
    if row is None:
        return None
    return RefreshToken(
        bytes(row.token_hash),
        row.expire_time,
        row.used_time,
        None if row.successor_hash is None else bytes(row.successor_hash),
        None if row.key_hash is None else bytes(row.key_hash),
    )


async def put_token(tx: AsyncConnection, token: RefreshToken) -> None:
    """Write what has become of a token."""
    statement = update(refresh_tokens).where(refresh_tokens.c.token_hash == token.token_hash)
    await tx.execute(
        statement.values(used_time=token.used_time, successor_hash=token.successor_hash, key_hash=token.key_hash)
    )


async def purge(tx: AsyncConnection, *, expired_before: datetime) -> int:
    """Remove sessions that ran out before then, their tokens with them; return how many."""
    return (await tx.execute(delete(sessions).where(sessions.c.expire_time < expired_before))).rowcount


def _session(row: Row[Any]) -> Session:
    return Session(row.session_id, row.user_id, row.expire_time, row.revoke_time)
