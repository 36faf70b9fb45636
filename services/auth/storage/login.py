"""Named queries of the login log."""

from datetime import datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.login import LoginRecord, Method, Result
from services.auth.domain.session import Origin
from services.auth.domain.user import Provider
from services.auth.storage.tables import logins


async def add(tx: AsyncConnection, record: LoginRecord, user_id: str | None) -> None:
    """Write one line."""
    await tx.execute(
        insert(logins).values(
            login_id=record.login_id,
            user_id=user_id,
            provider=record.provider.value if record.provider else "",
            method=record.method.value,
            result=record.result.value,
            platform=record.origin.platform,
            address=record.origin.address,
            agent=record.origin.agent,
            create_time=record.create_time,
        )
    )


async def page(
    tx: AsyncConnection, user_id: str, *, before: str = "", most: int, result: Result | None = None
) -> list[LoginRecord]:
    """Return lines of a user with ids below `before` ("" for all), the newest first; all results or one."""
    statement = select(logins).where(logins.c.user_id == user_id).order_by(logins.c.login_id.desc()).limit(most)
    if before:
        statement = statement.where(logins.c.login_id < before)
    if result is not None:
        statement = statement.where(logins.c.result == result.value)
    return [
        LoginRecord(
            row.login_id,
            Provider(row.provider) if row.provider else None,
            Method(row.method),
            Result(row.result),
            Origin(row.platform, row.address, row.agent),
            row.create_time,
        )
        for row in await tx.execute(statement)
    ]


async def purge(tx: AsyncConnection, *, before: datetime) -> int:
    """Remove the lines written before then; return how many."""
    return (await tx.execute(delete(logins).where(logins.c.create_time < before))).rowcount
