"""Templates and banners as people and administrators meet them, with their copy in Valkey."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc.aio
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import delete, func, select

from cadenza.composer.v1 import showcase_service_pb2 as pb
from cadenza.composer.v1 import showcase_service_pb2_grpc as showcase_grpc
from services.composer.domain.showcase import Banner
from services.composer.storage.tables import banners, templates
from services.composer.usecases.showcase import Showcase
from services.kit.clock import now
from services.kit.ids import new_id
from services.kit.redis import connect
from services.kit.rpc.errors import from_rpc
from tests.composer.studio import Studio
from tests.kit.rpc_layouts import bearer

KEYS = ("music:templates", "music:banners")


def _stub(studio: Studio) -> Any:
    return showcase_grpc.ShowcaseServiceStub(studio.mesh.peers("gateway").channel("composer"))


def _admin(studio: Studio) -> Any:
    return tuple(bearer(studio.issuer.token(sub=new_id(), roles=["admin"])))


async def _templates(studio: Studio, locale: str = "en", **request: Any) -> pb.ListTemplatesResponse:
    answer: pb.ListTemplatesResponse = await _stub(studio).ListTemplates(
        pb.ListTemplatesRequest(**request), metadata=(("accept-language", locale),)
    )
    return answer


async def _banners(studio: Studio, locale: str = "en") -> list[str]:
    answer = await _stub(studio).ListBanners(pb.ListBannersRequest(), metadata=(("accept-language", locale),))
    return [each.title for each in answer.banners]


def _banner(**wishes: Any) -> pb.PutBannerRequest:
    return pb.PutBannerRequest(**{"banner_id": new_id(), "locale": "en", "title": "Hello", **wishes})


def _stamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


@pytest.fixture
async def showcase(studio: Studio, redis_url: str) -> AsyncIterator[Showcase]:
    """Yield the showcase of a server that begins: no copy, no banner, and the templates that came with the schema."""
    redis = connect(redis_url)
    await redis.delete(*KEYS)
    async with studio.db.transaction() as tx:
        await tx.execute(delete(banners))
    yield Showcase(studio.db, redis, now)
    await redis.aclose()


async def test_templates_come_in_the_readers_language(studio: Studio, showcase: Showcase) -> None:
    """A new installation has templates in both languages, each in its order, and anybody may read them."""
    english, chinese = (await _templates(studio)).templates, (await _templates(studio, "zh-CN")).templates
    assert len(english) == len(chinese) == 6
    assert {each.locale for each in english} == {"en"}
    assert chinese[0].title == "海边的夏天"
    assert [each.sort_order for each in english] == sorted(each.sort_order for each in english)
    assert all(each.theme and each.style for each in english)


async def test_the_copies_are_warm_before_anybody_asks(studio: Studio, showcase: Showcase, redis_url: str) -> None:
    """After the start both copies are there, end within half an hour, and the lists are read from them."""
    await showcase.warm()
    redis = connect(redis_url)
    assert [0 < await redis.ttl(key) <= 1800 for key in KEYS] == [True, True]
    kept = json.loads(str(await redis.get(KEYS[0])))
    kept[0]["title"] = "from the copy"
    await redis.set(KEYS[0], json.dumps(kept))
    titles = {
        each.title for each in [*(await _templates(studio)).templates, *(await _templates(studio, "zh")).templates]
    }
    assert "from the copy" in titles
    await redis.set(KEYS[0], "no json")
    assert len((await _templates(studio)).templates) == 6
    await redis.aclose()


async def test_pages_follow_each_other(studio: Studio, showcase: Showcase) -> None:
    """Pages of four hold all six templates once, and a foreign token is refused."""
    first = await _templates(studio, page_size=4)
    second = await _templates(studio, page_size=4, page_token=first.next_page_token)
    assert [len(page.templates) for page in (first, second)] == [4, 2]
    assert second.next_page_token == ""
    assert len({each.template_id for page in (first, second) for each in page.templates}) == 6
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _templates(studio, page_token="WyJ4Il0")
    assert from_rpc(caught.value).reason == "PARAM_INVALID"


async def test_what_an_administrator_writes_is_seen_at_once(studio: Studio, showcase: Showcase) -> None:
    """A written template or banner is listed at the next look, changed in its place, and gone when it is removed."""
    await showcase.warm()
    wish = pb.PutTemplateRequest(
        template_id=new_id(), locale="en", title="<b>Rain</b>", theme="rain\non a tin roof", sort_order=0
    )
    for title in ("<b>Rain</b>", "Snow"):
        wish.title = title
        await _stub(studio).PutTemplate(wish, metadata=_admin(studio))
    first = (await _templates(studio)).templates[0]
    assert (first.title, first.theme) == ("Snow", "rain on a tin roof")
    for _ in range(2):
        request = pb.DeleteTemplateRequest(template_id=wish.template_id)
        await _stub(studio).DeleteTemplate(request, metadata=_admin(studio))
    assert wish.template_id not in {each.template_id for each in (await _templates(studio)).templates}

    banner = _banner(title="Come and sing", image_url="/web/x.png", link_url="https://example.org/a?b=1#c")
    await _stub(studio).PutBanner(banner, metadata=_admin(studio))
    assert await _banners(studio) == ["Come and sing"]
    assert await _banners(studio, "zh-CN") == []
    await _stub(studio).DeleteBanner(pb.DeleteBannerRequest(banner_id=banner.banner_id), metadata=_admin(studio))
    assert await _banners(studio) == []


async def test_a_banner_has_its_time(studio: Studio, showcase: Showcase) -> None:
    """A banner is listed from its start and until its end, also from a copy that is older than either."""
    at = now().replace(microsecond=0)
    for title, start, end in (
        ("past", None, at - timedelta(hours=1)),
        ("present", at - timedelta(hours=1), at + timedelta(hours=1)),
        ("future", at + timedelta(hours=1), None),
    ):
        times = {"start_time": start and _stamp(start), "end_time": end and _stamp(end)}
        await _stub(studio).PutBanner(_banner(title=title, **times), metadata=_admin(studio))
    assert await _banners(studio) == ["present"]
    later = Showcase(studio.db, showcase._redis, lambda: at + timedelta(hours=2))  # the same copy
    assert [each.title for each in (await later.banners("en", page_size=0, page_token=""))[0]] == ["future"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "<b></b>"),
        ("locale", "fr"),
        ("image_url", "javascript:alert(1)"),
        ("link_url", "//elsewhere.test/"),
        ("link_url", "/\\elsewhere.test"),
        ("link_url", "http://example.org/"),
        ("link_url", "https://example.org/ a"),
        ("sort_order", -1),
        ("banner_id", "7"),
    ],
)
async def test_a_banner_that_cannot_be_shown_is_refused(
    studio: Studio, showcase: Showcase, field: str, value: Any
) -> None:
    """An address that runs or leads to nowhere safe, an unknown language or an empty title is refused by its field."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _stub(studio).PutBanner(_banner(**{field: value}), metadata=_admin(studio))
    error = from_rpc(caught.value)
    assert (error.reason, field in str(error.metadata)) == ("PARAM_INVALID", True)
    async with studio.db.transaction() as tx:
        assert (await tx.execute(select(func.count()).select_from(banners))).scalar_one() == 0


def test_a_banner_ends_after_it_begins() -> None:
    """An end before the start is refused by its field."""
    at = datetime(2031, 5, 4, tzinfo=UTC)
    banner = Banner(
        banner_id=new_id(), locale="en", title="x", image_url="", link_url="", sort_order=0, start_time=at, end_time=at
    )
    with pytest.raises(Exception, match="after start_time"):
        banner.cleaned()


async def test_only_administrators_write(studio: Studio, showcase: Showcase) -> None:
    """Users and strangers write and remove nothing."""
    stub, before = _stub(studio), (await _templates(studio)).templates
    for metadata in ((), studio.metadata()):
        for call in (
            stub.PutBanner(_banner(), metadata=metadata),
            stub.DeleteBanner(pb.DeleteBannerRequest(banner_id=new_id()), metadata=metadata),
            stub.DeleteTemplate(pb.DeleteTemplateRequest(template_id=before[0].template_id), metadata=metadata),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert from_rpc(caught.value).reason in {"PERMISSION_DENIED", "AUTH_REQUIRED"}
    async with studio.db.transaction() as tx:
        assert (await tx.execute(select(func.count()).select_from(templates))).scalar_one() == 12
