"""A mesh to hold the document against: no limits of rate, streams that end at once, and tokens of every role."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt

from cadenza.options.v1 import options_pb2
from gateway.routes import Binding
from services.auth.usecases.signing_key import Signer, SigningKeys
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.sealing import Sealer
from services.mesh.up import RunningMesh, running_mesh
from tests.auth.outside import outside
from tests.e2e.conftest import home_at
from tests.e2e.people import Person

SETTINGS = {
    "RATE_USER_PER_MINUTE": "0",
    "RATE_ADDRESS_PER_MINUTE": "0",
    "STREAM_LONGEST_S": "0.1",
    "STREAM_HEARTBEAT_S": "0.05",
    "CODE_RESEND_GAP": "0",
}
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Standing:
    """The running mesh, its own document, and whoever calls it."""

    mesh: RunningMesh
    document: Any
    http: aiohttp.ClientSession
    signer: Signer

    def nobody(self) -> Person:
        """Return somebody without a token."""
        person = Person(self.mesh.base_url)
        person._session = self.http
        return person

    async def person(self) -> Person:
        """Return somebody new, logged in; whoever needs the credits of the beginning waits for them."""
        person = self.nobody()
        person.user_id = (await person.login())["user_id"]
        return person

    async def administrator(self) -> Person:
        """Return somebody new whose token carries the role `admin`."""
        person = await self.person()
        person.token = self.signed(person.token, roles=["admin"])
        return person

    async def caller(self, binding: Binding) -> Person:
        """Return somebody new who may call the route."""
        admin = binding.method.access == options_pb2.ACCESS_ADMIN
        return await (self.administrator() if admin else self.person())

    def signed(self, token: str, **changes: Any) -> str:
        """Return a good token with other claims, signed by the mesh's own key."""
        return self.signer.sign({**jwt.decode(token, options={"verify_signature": False}), **changes})


@asynccontextmanager
async def standing(root: Path, **settings: str) -> AsyncIterator[Standing]:
    """Run a mesh at the folder for the length of the block."""
    async with outside() as carriers:
        wanted = SETTINGS | {name.upper(): str(value) for name, value in carriers.settings.items()} | settings
        async with running_mesh(home_at(root, **wanted)) as mesh, aiohttp.ClientSession() as http:
            async with http.get(f"{mesh.base_url}/api/docs/openapi.json") as answer:
                document = await answer.json()
            db = Database(mesh.environment["DATABASE_URL"])
            sealer = Sealer.from_hex(mesh.environment["ENCRYPTION_KEY"], "")
            try:
                signer = await SigningKeys(db, sealer, now, access_ttl=_WEEK, longest=_WEEK).signer()
                yield Standing(mesh, document, http, signer)
            finally:
                await db.close()
