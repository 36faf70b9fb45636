"""The files that pages load: style sheets, modules, texts and the icon, held in memory and addressed by content.

The version in the path is a digest of all files together, so a browser may keep them for ever and
still has the new ones at once. A gateway of another version answers with what it has, uncached.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

import cadenza

FOLDER: Final = Path(__file__).parent / "web"
CLIENT: Final = Path(next(iter(cadenza.__path__))) / "client.js"
"""The calls of the API as the pages make them, generated from the contract."""

PATH: Final = "/web/{version}/{name:[a-z-]+(?:/[A-Za-z-]+)?\\.[a-z]+}"

_TYPES: Final = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_VERSION_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file as it is sent."""

    body: bytes
    content_type: str
    etag: str


class WebFiles:
    """Everything under `gateway/web` that browsers may read, templates left out, and the generated client."""

    def __init__(self) -> None:
        """Read the files; they do not change while the gateway runs."""
        self._files: dict[str, WebFile] = {}
        whole = hashlib.sha256()
        found = {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*") if path.suffix in _TYPES}
        for name, path in sorted({**found, CLIENT.name: CLIENT}.items()):
            body = path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()
            whole.update(f"{name} {digest}\n".encode())
            self._files[name] = WebFile(body, _TYPES[path.suffix], digest[:_VERSION_LENGTH])
        self.version = whole.hexdigest()[:_VERSION_LENGTH]

    @property
    def sizes(self) -> dict[str, int]:
        """Return the size of each file in bytes, before compression."""
        return {name: len(file.body) for name, file in self._files.items()}

    def address(self, name: str) -> str:
        """Return where a browser finds the file; KeyError for one that is not there."""
        if name not in self._files:
            raise KeyError(name)
        return f"/web/{self.version}/{name}"

    async def handle(self, http: web.Request) -> web.Response:
        """Answer with a file."""
        current = http.match_info["version"] == self.version
        return self.answer(http, http.match_info["name"], cache=_FOR_EVER if current else "no-cache")

    def answer(self, http: web.Request, name: str, *, cache: str) -> web.Response:
        """Return the file, or that the browser has it already; raises HTTPNotFound."""
        file = self._files.get(name)
        if file is None:
            raise web.HTTPNotFound
        headers = {"ETag": f'W/"{file.etag}"', "Cache-Control": cache}
        if any(etag.value == file.etag for etag in http.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, content_type=file.content_type, charset="utf-8", headers=headers)
