"""The gateway, put together: middleware in order, routes, shutdown; nothing else."""

from collections.abc import AsyncIterator, Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.admission import ADMISSION
from gateway.client_config import describing
from gateway.codec import Codec
from gateway.config import Config
from gateway.connections import BOUNDS, Bounds
from gateway.downloads import descriptor_set, postman
from gateway.envelope import JSON, enveloping
from gateway.headers import Common, answering_preflights, compressing
from gateway.health import HealthPages
from gateway.lane import LANE, Lane
from gateway.limits import Limits, limiting
from gateway.objects import add_objects
from gateway.observe import observing
from gateway.openapi import document
from gateway.pages import add_pages
from gateway.pages_media import COVER, SOUND, SharedMedia
from gateway.resumable import SERVICE as RESUMABLE
from gateway.resumable import Resumables
from gateway.routes import Binding, public_bindings
from gateway.rpc import RpcPaths, speaking
from gateway.sockets import PATH as SOCKET
from gateway.sockets import Sockets
from gateway.stream import EventStreams
from gateway.templates import TemplateResource
from gateway.transcode import Transcoder
from gateway.uploads import Uploads
from gateway.webhooks import add_webhooks
from gateway.windows import RateWindows
from services.kit.objects.choice import local_object_store
from services.kit.redis import connect
from services.kit.rpc.channel import Peers


async def build(config: Config, peers: Peers, *, bindings: list[Binding] | None = None) -> web.Application:
    """Return the application, calling the services through `peers`; it serves `bindings`, or all of the contracts.

    Raises ContractError when an annotation cannot be served, ValueError when the local object
    store has no secret.
    """
    redis, bindings = connect(config.redis_url), public_bindings() if bindings is None else bindings
    transcoder = Transcoder(Codec(), peers, config)
    streams, uploads = EventStreams(transcoder, config), Uploads(transcoder, config)
    resumables = Resumables(transcoder, config, bindings)
    health = HealthPages(tuple(sorted({each.service for each in bindings})), peers, redis, config)

    limits, common = Limits(config, RateWindows(redis), bindings=bindings, peers=peers), Common(config)

    # Whatever is added here is to be added to the lane, too, which most requests take.
    app = web.Application(
        middlewares=[
            observing(config.proxies),
            compressing(),
            speaking(),
            enveloping(),
            answering_preflights(config),
            limiting(limits),
        ]
    )
    bounds = Bounds(config.connections_per_address_most, config.head_deadline_s, exempt=config.proxies)
    app[ADMISSION], app[BOUNDS] = limits.admission, bounds
    app.on_response_prepare.append(common.prepare)

    app[LANE] = Lane(limits, common, config.proxies)
    add_bindings(app, bindings, transcoder=transcoder, streams=streams, uploads=uploads, resumables=resumables)
    rpc = RpcPaths(transcoder, config)
    rpc.add(app, bindings)
    add_webhooks(app, peers)
    app.router.add_route("GET", SOCKET, Sockets(streams, origins=config.allowed_origins).handle)
    _get(app, "/api/v1/config/client", describing(config))
    _add_documents(app, bindings, server=config.public_url)
    for path, page in (("/health", health.whole), ("/health/live", health.live), ("/health/ready", health.ready)):
        _get(app, path, page)
    store = None if config.s3_endpoint_url else local_object_store(config)
    if store is not None:
        add_objects(app, store)
    add_pages(app, peers, config)
    media = SharedMedia(peers, store)
    _get(app, SOUND, media.sound)
    _get(app, COVER, media.cover)

    async def drain(_app: web.Application) -> None:
        health.draining = True
        await streams.drain()
        await rpc.drain()

    async def close(_app: web.Application) -> AsyncIterator[None]:
        yield
        await media.close()
        await redis.aclose()

    app.on_shutdown.append(drain)
    app.cleanup_ctx.extend((limits.admission.beside, close))
    return app


def add_bindings(
    app: web.Application,
    bindings: list[Binding],
    *,
    transcoder: Transcoder,
    streams: EventStreams,
    uploads: Uploads,
    resumables: Resumables,
) -> None:
    """Serve every binding with the handler of its kind; they come in the order in which they are to be tried."""
    resources: dict[str, TemplateResource] = {}
    for binding in bindings:
        kind: Callable[[Binding], Handler] | None = None
        if binding.method.service == RESUMABLE:
            kind = resumables.handler
        elif binding.method.client_streaming:
            kind = uploads.handler
        elif binding.method.server_streaming:
            kind = streams.handler
        if binding.path not in resources:
            resources[binding.path] = TemplateResource(binding.template)
            app.router.register_resource(resources[binding.path])
            if binding.method.service == RESUMABLE:
                resources[binding.path].add_route("OPTIONS", resumables.describe)
        unary = None
        if kind is None:
            unary = transcoder.unary(binding)
            handler: Handler = unary.handle
        else:
            handler = kind(binding)
        app[LANE].add(binding, unary)
        resources[binding.path].add_route(binding.verb, handler)
        if binding.verb == "GET" and not binding.method.server_streaming:
            resources[binding.path].add_route("HEAD", handler)


def _get(app: web.Application, path: str, handler: Handler) -> None:
    app.router.add_route("GET", path, handler)
    app.router.add_route("HEAD", path, handler)


def _add_documents(app: web.Application, bindings: list[Binding], *, server: str) -> None:
    """Serve what developers take away: the API document, a Postman collection, the descriptors."""
    for name, kind, make in (
        ("openapi.json", JSON, lambda: document(bindings, server=server)),
        ("postman.json", JSON, lambda: postman(document(bindings, server=server))),
        ("descriptors.binpb", "application/octet-stream", lambda: descriptor_set(bindings)),
    ):
        _get(app, f"/api/docs/{name}", _documenting(make, kind))


def _documenting(make: Callable[[], bytes], kind: str) -> Handler:
    """Return the handler of a document, which is made at the first request."""
    made: list[bytes] = []

    async def handle(_http: web.Request) -> web.Response:
        if not made:
            made.append(make())
        return web.Response(body=made[0], content_type=kind, headers={"Cache-Control": "public, max-age=300"})

    return handle
