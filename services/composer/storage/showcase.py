"""Templates and banners: in PostgreSQL, and a copy in Redis that everybody's first page is read from."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain.showcase import Banner, Template
from services.composer.storage.tables import banners, templates

KEPT_S = 1800
_TEMPLATES, _BANNERS = "music:templates", "music:banners"


async def all_templates(tx: AsyncConnection) -> list[Template]:
    """Return every template, in their order."""
    rows = await tx.execute(select(templates).order_by(templates.c.sort_order, templates.c.template_id))
    return [Template(**row) for row in rows.mappings()]


async def all_banners(tx: AsyncConnection) -> list[Banner]:
    """Return every banner, in their order, also those whose time is not now."""
    rows = await tx.execute(select(banners).order_by(banners.c.sort_order, banners.c.banner_id))
    return [Banner(**row) for row in rows.mappings()]


async def put_template(tx: AsyncConnection, template: Template) -> None:
    """Write the template, in the place of one with its id."""
    statement = insert(templates).values(**asdict(template))
    await tx.execute(statement.on_conflict_do_update(index_elements=["template_id"], set_=asdict(template)))


async def put_banner(tx: AsyncConnection, banner: Banner) -> None:
    """Write the banner, in the place of one with its id."""
    statement = insert(banners).values(**asdict(banner))
    await tx.execute(statement.on_conflict_do_update(index_elements=["banner_id"], set_=asdict(banner)))


async def drop_template(tx: AsyncConnection, template_id: str) -> None:
    """Remove the template, if it is there."""
    await tx.execute(delete(templates).where(templates.c.template_id == template_id))


async def drop_banner(tx: AsyncConnection, banner_id: str) -> None:
    """Remove the banner, if it is there."""
    await tx.execute(delete(banners).where(banners.c.banner_id == banner_id))


async def kept_templates(redis: Redis) -> list[Template] | None:
    """Return the copy of the templates, None without one and while Redis is away."""
    found = await _kept(redis, _TEMPLATES)
    with suppress(TypeError):
        return None if found is None else [Template(**each) for each in found]
    return None


async def kept_banners(redis: Redis) -> list[Banner] | None:
    """Return the copy of the banners, None without one and while Redis is away."""
    found = await _kept(redis, _BANNERS)
    with suppress(TypeError, ValueError):
        return None if found is None else [_banner(each) for each in found]
    return None


async def keep_templates(redis: Redis, found: Sequence[Template]) -> None:
    """Keep a copy of the templates for half an hour; nothing happens while Redis is away."""
    await _keep(redis, _TEMPLATES, [asdict(each) for each in found])


async def keep_banners(redis: Redis, found: Sequence[Banner]) -> None:
    """Keep a copy of the banners for half an hour; nothing happens while Redis is away."""
    await _keep(redis, _BANNERS, [asdict(each) for each in found])


async def forget(redis: Redis) -> None:
    """Remove both copies; they end by themselves when Redis is away."""
    with suppress(RedisError, OSError):
        await redis.delete(_TEMPLATES, _BANNERS)


async def _kept(redis: Redis, key: str) -> list[dict[str, Any]] | None:
    with suppress(RedisError, OSError, ValueError):
        kept = await redis.get(key)
        found = None if kept is None else json.loads(kept)
        return found if isinstance(found, list) else None
    return None


async def _keep(redis: Redis, key: str, found: list[dict[str, Any]]) -> None:
    with suppress(RedisError, OSError):
        await redis.set(key, json.dumps(found, default=datetime.isoformat), ex=KEPT_S)


def _banner(kept: dict[str, Any]) -> Banner:
    times = {name: datetime.fromisoformat(kept[name]) if kept[name] else None for name in ("start_time", "end_time")}
    return Banner(**{**kept, **times})
