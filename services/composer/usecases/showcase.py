"""The showcase: templates and banners, read by everybody from a copy that is warm before the first one asks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from services.composer.storage import showcase as storage
from services.kit.db.paging import clamp_page_size, decode_token, encode_token
from services.kit.errors import ParamInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from services.composer.domain.showcase import Banner, Template
    from services.kit.clock import Clock
    from services.kit.db.engine import Database

_log = logging.getLogger(__name__)
_Shown = TypeVar("_Shown")


class Showcase:
    """Templates and banners."""

    def __init__(self, db: Database, redis: Redis, clock: Clock) -> None:
        self._db = db
        self._redis = redis
        self._clock = clock

    async def warm(self) -> None:
        """Read both into their copies, as the server does at its start; raises what the database raises."""
        await self._templates()
        await self._banners()

    async def templates(self, locale: str, *, page_size: int, page_token: str) -> tuple[Sequence[Template], str]:
        """Return a page of the templates of a language and the token of the next page or ''."""
        found = await storage.kept_templates(self._redis)
        if found is None:
            found = await self._templates()
        return _page([each for each in found if each.locale == locale], page_size, page_token)

    async def banners(self, locale: str, *, page_size: int, page_token: str) -> tuple[Sequence[Banner], str]:
        """Return a page of the banners that are shown now in a language and the token of the next page or ''."""
        found = await storage.kept_banners(self._redis)
        if found is None:
            found = await self._banners()
        now = self._clock()
        return _page([each for each in found if each.locale == locale and each.shown(now)], page_size, page_token)

    async def put_template(self, operator_id: str, template: Template) -> Template:
        """Return the template as it was written; raises ParamInvalid."""
        cleaned = template.cleaned()
        async with self._db.transaction() as tx:
            await storage.put_template(tx, cleaned)
        await self._changed(operator_id, "template", cleaned.template_id)
        return cleaned

    async def put_banner(self, operator_id: str, banner: Banner) -> Banner:
        """Return the banner as it was written; raises ParamInvalid."""
        cleaned = banner.cleaned()
        async with self._db.transaction() as tx:
            await storage.put_banner(tx, cleaned)
        await self._changed(operator_id, "banner", cleaned.banner_id)
        return cleaned

    async def drop_template(self, operator_id: str, template_id: str) -> None:
        """Remove a template; a repeat changes nothing."""
        async with self._db.transaction() as tx:
            await storage.drop_template(tx, template_id)
        await self._changed(operator_id, "template", template_id)

    async def drop_banner(self, operator_id: str, banner_id: str) -> None:
        """Remove a banner; a repeat changes nothing."""
        async with self._db.transaction() as tx:
            await storage.drop_banner(tx, banner_id)
        await self._changed(operator_id, "banner", banner_id)

    async def _changed(self, operator_id: str, kind: str, changed_id: str) -> None:
        await storage.forget(self._redis)
        _log.info("the showcase was changed", extra={"operator_id": operator_id, "kind": kind, "id": changed_id})

    async def _templates(self) -> list[Template]:
        async with self._db.transaction() as tx:
            found = await storage.all_templates(tx)
        await storage.keep_templates(self._redis, found)
        return found

    async def _banners(self) -> list[Banner]:
        async with self._db.transaction() as tx:
            found = await storage.all_banners(tx)
        await storage.keep_banners(self._redis, found)
        return found


def _page(found: Sequence[_Shown], page_size: int, page_token: str) -> tuple[Sequence[_Shown], str]:
    """Return the page that a token stands for: how many come before it."""
    match decode_token(page_token):
        case ():
            first = 0
        case (int(first),) if first >= 0:
            pass
        case _:
            raise ParamInvalid.of("page_token", "is not one of ours")
    last = first + clamp_page_size(page_size)
    return found[first:last], encode_token(last) if last < len(found) else ""
