"""The pages people see: the studio, the page of a share, the API document, and what they are told when there is none.

Templates escape whatever they print. Pages carry a stricter content policy than the rest of the
gateway: no inline script and no inline style, nothing from elsewhere but the sounds and pictures.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cadenza.share.v1.share_service_pb2 import ResolveShareRequest, SharedTrack
from cadenza.share.v1.share_service_pb2_grpc import ShareServiceStub
from gateway.caller import CALLER
from gateway.config import Config
from gateway.envelope import STATUSES, told_as
from gateway.headers import security_headers
from gateway.pages_files import FOLDER, PATH, WebFiles
from gateway.pages_oembed import CACHE_AGE_S, code_of, oembed, width_of
from gateway.pages_share import WAVE_BARS, WAVE_HEIGHT, WAVE_STEP, SharePage, share_page
from gateway.pages_text import COOKIE, LOCALES, PARAMETER, choose_locale, read_catalogues, speaking
from gateway.upstream import asking
from services.kit.errors import NotFound
from services.kit.rpc.call import DEFAULT_PLATFORM
from services.kit.rpc.channel import Peers

_log = logging.getLogger(__name__)

THEMES: Final = ("light", "dark")
STYLES: Final = (
    "pop", "folk", "ballad", "guofeng", "lofi", "jazz", "bossa", "electronic", "rock", "cinematic", "funk",
    "children",
)  # fmt: skip
MOODS: Final = ("happy", "calm", "romantic", "nostalgic", "sad", "energetic", "epic")
VOICES: Final = ("any", "female", "male", "duet", "none")
LENGTHS_S: Final = (30, 45, 60, 75, 90, 120, 180)
LENGTH_S: Final = 75

_RESOLVE_S: Final = 5.0
_YEAR_S: Final = 365 * 24 * 3600
_WECHAT: Final = "MicroMessenger"
_MACHINE_PATHS: Final = ("/api/", "/_objects/", "/health")
_KNOWN: Final = frozenset({404, 410, 503})
_RETRY_S: Final = "5"
_ROBOTS: Final = "User-agent: *\nDisallow: /api/v1/\nDisallow: /_objects/\nAllow: /\n"


def add_pages(app: web.Application, peers: Peers, config: Config) -> None:
    """Serve the pages; shares are asked of Share through `peers`."""
    pages = Pages(peers, config)
    routes: list[tuple[str, Handler]] = [
        ("/", pages.studio),
        ("/s/{share_code}", pages.share),
        ("/s/{share_code}/player", pages.player),
        ("/oembed", pages.oembed),
        ("/api/docs", pages.docs),
        ("/robots.txt", pages.robots),
        ("/favicon.svg", pages.icon),
        ("/favicon.ico", pages.icon),
        (PATH, pages.files.handle),
    ]
    for path, handler in routes:
        app.router.add_route("GET", path, handler)
        app.router.add_route("HEAD", path, handler)
    # Innermost, so that browsers get a page where the envelope would answer programs.
    app.middlewares.append(pages.answering_people())


@dataclass(frozen=True, slots=True)
class _Reader:
    """Who reads a page, and how."""

    locale: str
    theme: str  # empty for what the device prefers
    wechat: bool


class Pages:
    """The handlers of the pages."""

    def __init__(self, peers: Peers, config: Config) -> None:
        """Read templates, texts and files once; a text missing in a language stops the start."""
        self.files = WebFiles()
        self._catalogues = read_catalogues()
        self._shares: Any = ShareServiceStub(peers.channel("share"))
        self._origin = config.public_url.rstrip("/")
        self._policy = page_policy(config)
        self._embed_policy = self._policy.replace("frame-ancestors 'self'", "frame-ancestors *")
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    async def studio(self, http: web.Request) -> web.Response:
        """Answer with the page where songs are made."""
        return self._page(
            http, "studio.html", styles=STYLES, moods=MOODS, voices=VOICES, lengths=LENGTHS_S, length=LENGTH_S
        )

    async def docs(self, http: web.Request) -> web.Response:
        """Answer with the page that reads the API document to people."""
        return self._page(http, "docs.html")

    async def share(self, http: web.Request) -> web.Response:
        """Answer with the page of a share, or with why there is none."""
        return await self._shared(http, "share.html")

    async def player(self, http: web.Request) -> web.Response:
        """Answer with the player that other sites may frame."""
        response = await self._shared(http, "player.html")
        response.headers["Content-Security-Policy"] = self._embed_policy
        return response

    async def oembed(self, http: web.Request) -> web.Response:
        """Answer with what lets another site show the player of a share; errors have their status and the envelope."""
        if http.query.get("format", "json") != "json":
            return web.Response(status=HTTPStatus.NOT_IMPLEMENTED, text="only format=json is offered")
        width = width_of(http.query)
        code = code_of(http.query.get("url", ""), self._origin)
        if not code:
            raise NotFound("the address is not that of a share here", field="url")
        # Another program looks, and nobody listens yet.
        track = await self._resolve(http, code, method="HEAD")
        answer = oembed(self._share_page(http, track), origin=self._origin, width=width)
        cache = {"Cache-Control": f"public, max-age={CACHE_AGE_S}"}
        return web.json_response(answer, headers=cache)

    async def robots(self, _http: web.Request) -> web.Response:
        """Tell crawlers that shares may be found and the interface is not for them."""
        return web.Response(text=_ROBOTS, headers={"Cache-Control": "public, max-age=86400"})

    async def icon(self, http: web.Request) -> web.Response:
        """Answer with the icon, also where old browsers look for it."""
        return self.files.answer(http, "icon.svg", cache="public, max-age=86400")

    def answering_people(self) -> Middleware:
        """Return the middleware that turns an address which no route serves into a page for whoever prefers one."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except web.HTTPNotFound:
                if request.path.startswith(_MACHINE_PATHS) or not prefers_page(request.headers.get("Accept", "")):
                    raise
                return self._notice(request, HTTPStatus.NOT_FOUND, "missing")

        return middleware

    async def _shared(self, http: web.Request, template: str) -> web.Response:
        try:
            track = await self._resolve(http, http.match_info["share_code"][:64], method=http.method)
        except Exception as error:  # noqa: BLE001  # whatever it is, a person gets a page and not JSON
            return self._refusal(http, error)
        wave = {"width": WAVE_BARS * WAVE_STEP, "height": WAVE_HEIGHT}
        return self._page(http, template, share=self._share_page(http, track), wave=wave)

    def _share_page(self, http: web.Request, track: SharedTrack) -> SharePage:
        catalogue = self._catalogues[choose_locale(http)]
        return share_page(track, speaking(catalogue), catalogue, origin=self._origin)

    async def _resolve(self, http: web.Request, share_code: str, *, method: str) -> SharedTrack:
        request = ResolveShareRequest(share_code=share_code)
        # Share counts openings, and a HEAD is nobody listening.
        caller = http[CALLER]
        metadata = (
            ("x-trace-id", caller.trace_id),
            ("x-platform", DEFAULT_PLATFORM),
            ("accept-language", caller.locale),
            ("x-client-ip", caller.address),
            ("x-http-method", method),
        )
        with asking("share"):
            answer = await self._shares.ResolveShare(request, timeout=_RESOLVE_S, metadata=metadata)
        track: SharedTrack = answer.shared_track
        return track

    def _refusal(self, http: web.Request, error: Exception) -> web.Response:
        """Return the page for a share that cannot be shown; a code that cannot be one is simply unknown."""
        told = told_as(error, http)
        status = STATUSES.get(told.reason, HTTPStatus.INTERNAL_SERVER_ERROR)
        if told.reason == "PARAM_INVALID":
            status = HTTPStatus.NOT_FOUND
        if status not in _KNOWN:
            _log.warning("a share cannot be shown: %s", told.reason)
            status = HTTPStatus.SERVICE_UNAVAILABLE
        names = {404: "share_unknown", 410: "share_revoked", 503: "unavailable"}
        return self._notice(http, status, names[status])

    def _notice(self, http: web.Request, status: int, name: str) -> web.Response:
        response = self._page(http, "notice.html", name=name, status=int(status))
        response.set_status(status)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = _RETRY_S
        return response

    def _page(self, http: web.Request, template: str, **values: Any) -> web.Response:
        """Return a rendered page in the reader's language, which is kept when they have just chosen it."""
        reader = _reader(http)
        catalogue = self._catalogues[reader.locale]
        html = self._environment.get_template(template).render(
            t=speaking(catalogue),
            reader=reader,
            other=next(locale for locale in LOCALES if locale != reader.locale),
            file=self.files.address,
            path=http.path,
            origin=self._origin,
            trace_id=http[CALLER].trace_id,
            **values,
        )
        response = web.Response(text=html, content_type="text/html")
        response.headers.update(self._headers(reader))
        if http.query.get(PARAMETER, "") in LOCALES:
            response.set_cookie(COOKIE, reader.locale, max_age=_YEAR_S, samesite="Lax", secure=http[CALLER].secure)
        return response

    def _headers(self, reader: _Reader) -> Mapping[str, str]:
        return {
            "Content-Security-Policy": self._policy,
            "Content-Language": reader.locale,
            # A share that is called back must be gone at the next look, and its addresses end by themselves.
            "Cache-Control": "no-cache",
            "Vary": "Accept-Language, Cookie, User-Agent",
        }


def page_policy(config: Config) -> str:
    """Return the content policy of pages: that of the gateway without inline style, pictures from the store too."""
    policy = security_headers(config)["Content-Security-Policy"].replace(" 'unsafe-inline'", "")
    store = urlsplit(config.s3_endpoint_url)
    elsewhere = f" {store.scheme}://{store.netloc}" if store.netloc else ""
    return policy.replace("img-src 'self' data: blob: https:", f"img-src 'self' data: blob: https:{elsewhere}")


def prefers_page(accept: str) -> bool:
    """Return whether a client names HTML before JSON, as browsers do and programs do not; RFC 9110 section 12.5.1."""
    weights = {"text/html": 0.0, "application/json": 0.0}
    for part in accept.lower().split(",")[:32]:
        kind, _, weight = part.replace(" ", "").partition(";q=")
        if kind in weights:
            try:
                weights[kind] = float(weight) if weight else 1.0
            except ValueError:
                weights[kind] = 0.0
    return weights["text/html"] > weights["application/json"]


def _reader(http: web.Request) -> _Reader:
    theme = http.cookies.get("theme", "")
    return _Reader(
        locale=choose_locale(http),
        theme=theme if theme in THEMES else "",
        wechat=_WECHAT in http.headers.get("User-Agent", ""),
    )
