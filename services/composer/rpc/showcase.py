"""The showcase service of the contract."""

from typing import Any

from cadenza.composer.v1 import showcase_service_pb2 as pb
from cadenza.composer.v1.showcase_service_pb2_grpc import ShowcaseServiceServicer
from services.composer.domain.showcase import Banner, Template
from services.composer.rpc.messages import moment, timestamp
from services.composer.usecases.showcase import Showcase
from services.kit.rpc.call import current_call
from services.kit.rpc.identity import current_user


class ShowcaseRpc(ShowcaseServiceServicer):
    """Answers the calls of cadenza.composer.v1.ShowcaseService."""

    def __init__(self, showcase: Showcase) -> None:
        self._showcase = showcase

    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Any) -> pb.ListTemplatesResponse:
        """Return a page of templates."""
        found, token = await self._showcase.templates(
            current_call().locale, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListTemplatesResponse(templates=[_template(each) for each in found], next_page_token=token)

    async def ListBanners(self, request: pb.ListBannersRequest, context: Any) -> pb.ListBannersResponse:
        """Return a page of banners."""
        found, token = await self._showcase.banners(
            current_call().locale, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListBannersResponse(banners=[_banner(each) for each in found], next_page_token=token)

    async def PutTemplate(self, request: pb.PutTemplateRequest, context: Any) -> pb.PutTemplateResponse:
        """Write a template."""
        template = Template(
            template_id=request.template_id.lower(),
            locale=request.locale,
            title=request.title,
            theme=request.theme,
            style=request.style,
            mood=request.mood,
            sort_order=request.sort_order,
        )
        return pb.PutTemplateResponse(
            template=_template(await self._showcase.put_template(current_user().user_id, template))
        )

    async def DeleteTemplate(self, request: pb.DeleteTemplateRequest, context: Any) -> pb.DeleteTemplateResponse:
        """Remove a template."""
        await self._showcase.drop_template(current_user().user_id, request.template_id.lower())
        return pb.DeleteTemplateResponse()

    async def PutBanner(self, request: pb.PutBannerRequest, context: Any) -> pb.PutBannerResponse:
        """Write a banner."""
        banner = Banner(
            banner_id=request.banner_id.lower(),
            locale=request.locale,
            title=request.title,
            image_url=request.image_url,
            link_url=request.link_url,
            sort_order=request.sort_order,
            start_time=moment(request.start_time) if request.HasField("start_time") else None,
            end_time=moment(request.end_time) if request.HasField("end_time") else None,
        )
        return pb.PutBannerResponse(banner=_banner(await self._showcase.put_banner(current_user().user_id, banner)))

    async def DeleteBanner(self, request: pb.DeleteBannerRequest, context: Any) -> pb.DeleteBannerResponse:
        """Remove a banner."""
        await self._showcase.drop_banner(current_user().user_id, request.banner_id.lower())
        return pb.DeleteBannerResponse()


def _template(template: Template) -> pb.Template:
    return pb.Template(**template.__dict__)


def _banner(banner: Banner) -> pb.Banner:
    times = {"start_time": timestamp(banner.start_time), "end_time": timestamp(banner.end_time)}
    return pb.Banner(**{**banner.__dict__, **times})
