"""How every table of the project is spelled: one schema per service, named constraints, one set of types.

Named constraints make migrations able to drop what they made; text ids keep `uuid.UUID`
out of the domain; `timestamptz` keeps the instant that was meant.
"""

from typing import Any

from sqlalchemy import Column, DateTime, MetaData, Uuid, text

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def schema_metadata(schema: str) -> MetaData:
    """Return empty metadata whose tables live in the service's schema with agreed constraint names."""
    return MetaData(schema=schema, naming_convention=_NAMES)


def id_column(name: str, *arguments: Any, **options: Any) -> Column[str]:
    """Return a UUID column that Python sees as text; `primary_key=True`, a ForeignKey and so on pass through."""
    return Column(name, Uuid(as_uuid=False), *arguments, **options)


def time_column(name: str, **options: Any) -> Column[Any]:
    """Return a `timestamptz` column: an aware instant, or None only where `nullable=True` says so."""
    options.setdefault("nullable", False)
    return Column(name, DateTime(timezone=True), **options)


def created_columns() -> tuple[Column[Any], Column[Any]]:
    """Return `create_time` and `update_time`, filled by the database where a statement leaves them out."""
    now = text("now()")
    return (
        time_column("create_time", server_default=now),
        time_column("update_time", server_default=now),
    )
