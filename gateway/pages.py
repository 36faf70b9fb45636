"""The pages people see: the studio, the page of a share, the API document, and what they are told when there is none.

Templates escape whatever they print. Pages carry a stricter content policy than the rest of the
gateway: no inline script and no inline style, nothing from elsewhere but the sounds and pictures.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cadenza.share.v1.report_service_pb2 import ReportReason, ReportShareRequest
from cadenza.share.v1.report_service_pb2_grpc import ReportServiceStub
from cadenza.share.v1.share_service_pb2 import ResolveShareRequest, SharedTrack, UnlockShareRequest
from cadenza.share.v1.share_service_pb2_grpc import ShareServiceStub
from gateway.caller import CALLER, agent_of
from gateway.config import Config
from gateway.envelope import STATUSES, told_as
from gateway.headers import security_headers
from gateway.pages_files import FOLDER, PATH, WebFiles
from gateway.pages_forms import form_of, keep_ticket, password_in, ticket_of
from gateway.pages_oembed import CACHE_AGE_S, code_of, oembed, width_of
from gateway.pages_share import WAVE_BARS, WAVE_HEIGHT, WAVE_STEP, SharePage, share_page
from gateway.pages_text import COOKIE, LOCALES, PARAMETER, choose_locale, read_catalogues, speaking
from gateway.upstream import asking
from services.kit.errors import DomainError, NotFound
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
LIFETIMES_S: Final = (0, 86_400, 604_800, 2_592_000)

# What can be wrong with a share, in the order and words of the contract.
REPORT_REASONS: Final = tuple(name.removeprefix("REPORT_REASON_").lower() for name in ReportReason.keys()[1:])

_RESOLVE_S: Final = 5.0
_YEAR_S: Final = 365 * 24 * 3600
_WECHAT: Final = "MicroMessenger"
_MACHINE_PATHS: Final = ("/api/", "/_objects/", "/health")
_LONGEST_CODE: Final = 32
# What a person is told instead of the song, by the reason for which Share does not show it.
_NOTICES: Final = {
    "SHARE_NOT_FOUND": "share_unknown",
    "PARAM_INVALID": "share_unknown",
    "SHARE_REVOKED": "share_revoked",
    "SHARE_EXPIRED": "share_expired",
    "SHARE_PASSWORD_REQUIRED": "share_locked",
}
# What the door of a share says of the password that was tried.
_LOCKED: Final = {"SHARE_PASSWORD_REQUIRED": "", "SHARE_PASSWORD_WRONG": "wrong", "RATE_LIMITED": "often"}
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
    app.router.add_route("POST", "/s/{share_code}", pages.unlock)
    app.router.add_route("POST", "/s/{share_code}/report", pages.report)
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
        self._reports: Any = ReportServiceStub(peers.channel("share"))
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
            http,
            "studio.html",
            styles=STYLES,
            moods=MOODS,
            voices=VOICES,
            lengths=LENGTHS_S,
            length=LENGTH_S,
            lifetimes=LIFETIMES_S,
        )

    async def docs(self, http: web.Request) -> web.Response:
        """Answer with the page that reads the API document to people."""
        return self._page(http, "docs.html")

    async def share(self, http: web.Request) -> web.Response:
        """Answer with the page of a share, with the door of one that has a password, or with why there is none."""
        return await self._shared(http, "share.html")

    async def unlock(self, http: web.Request) -> web.Response:
        """Answer the right password with the way back to the page, which then opens, and a wrong one with the door."""
        code = http.match_info["share_code"][:_LONGEST_CODE]
        try:
            password = await password_in(http)
        except DomainError:
            return self._door(http, "SHARE_PASSWORD_WRONG")
        request = UnlockShareRequest(share_code=code, password=password)
        try:
            with asking("share"):
                made = await self._shares.UnlockShare(request, timeout=_RESOLVE_S, metadata=_metadata(http))
        except DomainError as error:
            return self._refusal(http, error)
        seconds = made.expire_time.ToSeconds() - int(time.time())
        response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": http.path})
        keep_ticket(http, response, path=http.path, ticket=made.ticket, seconds=seconds)
        return response

    async def report(self, http: web.Request) -> web.Response:
        """Answer a complaint with the way back to the page, which then says thank you."""
        code = http.match_info["share_code"][:_LONGEST_CODE]
        page = http.path.removesuffix("/report")
        try:
            form = await form_of(http)
            wrong = form.get("reason", "")
            # A reason that is none is for Share to refuse.
            name = wrong if wrong in REPORT_REASONS else "unspecified"
            reason = ReportReason.Value(f"REPORT_REASON_{name.upper()}")
            request = ReportShareRequest(
                share_code=code, reason=reason, message=form.get("message", ""), ticket=ticket_of(http)
            )
            with asking("share"):
                await self._reports.ReportShare(request, timeout=_RESOLVE_S, metadata=_metadata(http))
        except DomainError as error:
            return self._refusal(http, error)
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": f"{page}?reported=1"})

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
            code = http.match_info["share_code"][:_LONGEST_CODE]
            track = await self._resolve(http, code, method=http.method, ticket=ticket_of(http))
        except Exception as error:  # noqa: BLE001  # whatever it is, a person gets a page and not JSON
            return self._refusal(http, error)
        wave = {"width": WAVE_BARS * WAVE_STEP, "height": WAVE_HEIGHT}
        return self._page(
            http,
            template,
            share=self._share_page(http, track),
            wave=wave,
            ticket=ticket_of(http),
            report_reasons=REPORT_REASONS,
            reported="reported" in http.query,
        )

    def _share_page(self, http: web.Request, track: SharedTrack) -> SharePage:
        catalogue = self._catalogues[choose_locale(http)]
        return share_page(track, speaking(catalogue), catalogue, origin=self._origin)

    async def _resolve(self, http: web.Request, share_code: str, *, method: str, ticket: str = "") -> SharedTrack:
        request = ResolveShareRequest(share_code=share_code, ticket=ticket)
        # Share counts openings, and a HEAD is nobody listening.
        metadata = (*_metadata(http), ("x-http-method", method))
        with asking("share"):
            answer = await self._shares.ResolveShare(request, timeout=_RESOLVE_S, metadata=metadata)
        track: SharedTrack = answer.shared_track
        return track

    def _refusal(self, http: web.Request, error: Exception) -> web.Response:
        """Return the page for a share that cannot be shown; a code that cannot be one is simply unknown."""
        reason = told_as(error, http).reason
        if reason in _LOCKED and not http.path.endswith("/player"):
            return self._door(http, reason)
        name = _NOTICES.get(reason, "unavailable")
        if name == "unavailable":
            _log.warning("a share cannot be shown: %s", reason)
        status = HTTPStatus.NOT_FOUND if name == "share_unknown" else STATUSES.get(reason, 0)
        known = status if name != "unavailable" else HTTPStatus.SERVICE_UNAVAILABLE
        return self._notice(http, known, name, onward=http.path.removesuffix("/player"))

    def _door(self, http: web.Request, reason: str) -> web.Response:
        """Return the page that asks for the password, and says what was wrong with the last one."""
        response = self._page(http, "lock.html", wrong=_LOCKED[reason])
        response.set_status(STATUSES[reason])
        return response

    def _notice(self, http: web.Request, status: int, name: str, onward: str = "") -> web.Response:
        response = self._page(http, "notice.html", name=name, status=int(status), onward=onward)
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


def _metadata(http: web.Request) -> tuple[tuple[str, str], ...]:
    caller = http[CALLER]
    return (
        ("x-trace-id", caller.trace_id),
        ("x-platform", DEFAULT_PLATFORM),
        ("accept-language", caller.locale),
        ("x-client-ip", caller.address),
        ("x-client-agent", agent_of(http)),
    )


def _reader(http: web.Request) -> _Reader:
    theme = http.cookies.get("theme", "")
    return _Reader(
        locale=choose_locale(http),
        theme=theme if theme in THEMES else "",
        wechat=_WECHAT in http.headers.get("User-Agent", ""),
    )
