"""The HTTP server that carries all stand-ins behind one port, and the page and paths that steer them."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from tests.fakes.page import shown
from tests.fakes.stand_in import LARGEST_BODY, StandIn, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.typedefs import Handler

MOST_FAULTS = 100
MOST_TIMES = 10_000
LONGEST_ON = 200


class Sandbox:
    """All stand-ins of one port: each under `/<name>/`, the page at `/`, what steers them under `/_sandbox/`."""

    def __init__(self, vendors: Sequence[StandIn], *, url: str, mesh_url: str = "") -> None:
        self.vendors = {vendor.name: vendor for vendor in vendors}
        self.url = url
        for vendor in vendors:
            vendor.url = f"{url}/{vendor.name}"
            vendor.mesh_url = mesh_url

    def application(self) -> web.Application:
        """Return the server; the stand-ins open and close with it."""
        application = web.Application(middlewares=[_from_here], client_max_size=LARGEST_BODY)
        application.add_routes(
            [
                web.get("/", self._page),
                web.get("/_sandbox/settings", self._settings),
                web.get("/_sandbox/{vendor}/log", self._log),
                web.delete("/_sandbox/{vendor}/log", self._forget),
                web.post("/_sandbox/{vendor}/faults", self._fail),
                web.delete("/_sandbox/{vendor}/faults", self._mend),
            ]
        )
        for vendor in self.vendors.values():
            application.add_subapp(f"/{vendor.name}", vendor.application())
        return application

    def settings(self) -> dict[str, dict[str, str]]:
        """Return by vendor the settings that point the mesh here."""
        return {name: vendor.settings() for name, vendor in self.vendors.items()}

    def _vendor(self, request: web.Request) -> StandIn:
        found = self.vendors.get(request.match_info["vendor"])
        if found is None:
            raise web.HTTPNotFound(text=f"no such stand-in; there are {', '.join(self.vendors)}")
        return found

    async def _page(self, _: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"}
        return web.Response(text=shown(self.url, self.vendors.values()), content_type="text/html", headers=headers)

    async def _settings(self, _: web.Request) -> web.Response:
        return web.json_response(self.settings())

    async def _log(self, request: web.Request) -> web.Response:
        vendor = self._vendor(request)
        letters = [{"at": each.at.isoformat(), **_without_time(each)} for each in vendor.letters]
        return web.json_response({"seen": [plain(each) for each in vendor.seen], "letters": letters})

    async def _forget(self, request: web.Request) -> web.Response:
        vendor = self._vendor(request)
        vendor.seen.clear()
        vendor.letters.clear()
        vendor.calls.clear()
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _fail(self, request: web.Request) -> web.Response:
        """Set a fault from JSON, or from the page's form, which is led back to the page."""
        vendor = self._vendor(request)
        # curl calls JSON a form unless it is told otherwise.
        form = "form" in request.content_type and not (await request.text()).lstrip().startswith("{")
        wanted: dict[str, Any] = dict(await request.post()) if form else await _json(request)
        name, on = str(wanted.get("fault", "")), wanted.get("on", "")
        times = str(wanted.get("times", 1))
        if name not in vendor.ways():
            raise web.HTTPBadRequest(text=f"no such fault; there are {', '.join(vendor.ways())}")
        if not (times.isdecimal() and 0 < int(times) <= MOST_TIMES and isinstance(on, str) and len(on) <= LONGEST_ON):
            raise web.HTTPBadRequest(text=f"times is 1 to {MOST_TIMES}, on is a part of a path")
        if len(vendor.faults) >= MOST_FAULTS:
            raise web.HTTPBadRequest(text=f"{MOST_FAULTS} faults wait already")
        vendor.fail(name, times=int(times), on=on)
        if form:
            raise web.HTTPSeeOther("/")
        return web.json_response({"waiting": [each.name or each.status for each in vendor.faults]})

    async def _mend(self, request: web.Request) -> web.Response:
        self._vendor(request).faults.clear()
        return web.Response(status=HTTPStatus.NO_CONTENT)


@web.middleware
async def _from_here(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what another site's page sends through the browser of whoever runs the sandbox."""
    origin = request.headers.get("Origin", "")
    if origin and urlsplit(origin).netloc != request.host and request.path.startswith("/_sandbox/"):
        raise web.HTTPForbidden(text="from this page only")
    return await handler(request)


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        found = json.loads(await request.text() or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise web.HTTPBadRequest(text='JSON is wanted: {"fault": "quota", "times": 2, "on": ""}')
    return found


def _without_time(letter: Any) -> dict[str, str]:
    return {"kind": letter.kind, "to": letter.to, "subject": letter.subject, "text": letter.text}
