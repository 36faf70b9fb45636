"""The services of a mesh once more in this process, on the mesh's own servers, to be called by LocalChannel."""

import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from services.kit.config import load
from services.kit.redis import connect
from services.kit.rpc.around import concerns
from services.kit.rpc.channel import Peers
from services.kit.rpc.identity import standard_verifier
from services.kit.rpc.local import LocalMesh
from services.mesh.ca import MESH, SERVICES
from services.mesh.config import Config
from services.mesh.up import RunningMesh


@asynccontextmanager
async def local_mesh(mesh: RunningMesh) -> AsyncIterator[Peers]:
    """Yield channels, as the gateway has them, to services that share database, Valkey and files with the mesh.

    Their chores are left to the mesh.
    """
    environment = mesh.environment
    async with AsyncExitStack() as stack:
        local = LocalMesh()
        redis = connect(load(Config, environment).redis_url)
        stack.push_async_callback(redis.aclose)
        around = concerns(MESH, verifier=standard_verifier(local.peers("edge"), redis))
        for name in SERVICES:
            root = importlib.import_module(f"services.{name}.__main__")
            settings = load(importlib.import_module(f"services.{name}.config").Config, environment)
            application = await stack.enter_async_context(root.build(settings, local.peers(name)))
            local.add(application, around)
            stack.callback(local.remove, name)
        yield local.peers("gateway")
