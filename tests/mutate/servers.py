"""The servers that all trials share; what is ours is imported in the process that starts them only."""

import tempfile
from multiprocessing.connection import Connection
from pathlib import Path


def serve(pipe: Connection) -> None:
    """Keep PostgreSQL and Valkey for all trials, in a process that may import our code."""
    from services.mesh.postgres import Postgres
    from services.mesh.valkey import Valkey

    with tempfile.TemporaryDirectory(prefix="cadenza-mutate-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        postgres, valkey = Postgres(Path(folder) / "postgres", durable=False), Valkey(Path(folder) / "valkey")
        try:
            pipe.send({"DATABASE_URL": postgres.start(), "REDIS_URL": valkey.start()})
            pipe.recv()
        finally:
            valkey.remove()
            postgres.remove()
