"""Reasons and gRPC codes: one complete table, there and back again."""

import asyncio
import socket
from typing import Any

import asyncpg
import grpc
import grpc.aio
import pytest
import redis.exceptions
import sqlalchemy.exc
from google.rpc.status_pb2 import Status

from cadenza.error.v1 import reason_pb2
from services.kit.db.engine import Database
from services.kit.db.outage import is_outage
from services.kit.errors import BusinessRule, ParamInvalid, Unavailable
from services.kit.redis import connect
from services.kit.rpc.errors import CODES, DOMAIN, calling, from_rpc, from_status, lost_dependency, to_status

REASONS = [name.removeprefix("REASON_") for name, number in reason_pb2.Reason.items() if number]


def test_every_reason_has_a_code_and_no_other() -> None:
    """The table names exactly the reasons of the contract."""
    assert set(CODES) == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_survives_the_way_there_and_back(reason: str) -> None:
    """What another service raised is what its caller catches, facts and fields included."""
    kind: Any = type("Sample", (ParamInvalid,), {"reason": reason})
    error = kind.of("tags[1]", "must be longer", "string.min_len")
    back = from_status(Status.FromString(to_status(error).SerializeToString()), CODES[reason])
    assert (back.reason, back.metadata, back.violations) == (reason, error.metadata, error.violations)


def test_an_error_without_text_shows_its_reason() -> None:
    """The status of an error raised without a message still says something."""
    assert to_status(BusinessRule()).message == "BUSINESS_RULE"


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_a_bare_code_has_a_reason_of_the_contract(code: grpc.StatusCode) -> None:
    """An answer that carries only a code, from gRPC itself or a stranger, becomes one of our reasons.

    Its words stay behind: they name addresses of the mesh, and the error may travel on to a client.
    """
    error = from_rpc(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="ipv4:10.1.2.3:5"))
    assert error.reason in REASONS
    assert error.message == f"the service answered {code.name}"


def test_a_strangers_error_info_is_not_believed() -> None:
    """A reason counts only within our own domain."""
    status = to_status(BusinessRule())
    status.details[0].value = status.details[0].value.replace(DOMAIN.encode(), b"strange")
    assert from_status(status, grpc.StatusCode.NOT_FOUND).reason == "NOT_FOUND"


def test_calling_lets_other_errors_through() -> None:
    """Only statuses are translated; a mistake in the calling code stays what it is."""
    with pytest.raises(ZeroDivisionError), calling():
        _ = 1 / 0


@pytest.mark.parametrize(
    ("error", "dependency"),
    [
        (redis.exceptions.ConnectionError("down"), "redis"),
        (redis.exceptions.BusyLoadingError("loading"), "redis"),
        (redis.exceptions.TimeoutError("slow"), "redis"),
        (redis.exceptions.ResponseError("wrong type"), ""),
        (sqlalchemy.exc.OperationalError("select 1", {}, Exception("gone")), "database"),
        (sqlalchemy.exc.TimeoutError("pool"), "database"),
        (sqlalchemy.exc.IntegrityError("insert", {}, Exception("twice")), ""),
        (asyncpg.exceptions.CannotConnectNowError("starting"), "database"),
        (asyncpg.exceptions.AdminShutdownError("stopping"), "database"),
        (asyncpg.exceptions.UniqueViolationError("twice"), ""),
        (ConnectionRefusedError(), ""),
        (ValueError(), ""),
    ],
)
def test_a_lost_connection_is_told_from_a_mistake(error: Exception, dependency: str) -> None:
    """Connection errors name their dependency; errors in a statement do not pass for them."""
    assert lost_dependency(error) == dependency


@pytest.mark.parametrize(
    ("cause", "dependency"),
    [
        (asyncpg.exceptions.ConnectionDoesNotExistError("closed in the middle of operation"), "database"),
        (asyncpg.InternalClientError("cannot switch to state 11"), "database"),
        (asyncpg.exceptions.NotNullViolationError("null"), ""),
    ],
)
def test_what_the_driver_says_inside_a_wrapper_counts(cause: Exception, dependency: str) -> None:
    """An error that SQLAlchemy wrapped without knowing its kind is judged by the driver's own."""
    wrapped = Exception("as the dialect has it")
    wrapped.__cause__ = cause

    assert lost_dependency(sqlalchemy.exc.DBAPIError("select 1", {}, wrapped)) == dependency


async def test_a_connection_that_ends_in_the_middle_is_the_databases(db: Database) -> None:
    """A statement whose connection the server ends while it runs is told as a lost database, not as a mistake."""

    async def cut_off() -> None:
        async with db.transaction() as tx, db.transaction() as other:
            pid = (await tx.execute(sqlalchemy.text("SELECT pg_backend_pid()"))).scalar_one()
            sleeping = asyncio.create_task(tx.execute(sqlalchemy.text("SELECT pg_sleep(30)")))
            await asyncio.sleep(0.2)
            await other.execute(sqlalchemy.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            await sleeping

    with pytest.raises(sqlalchemy.exc.DBAPIError) as caught:
        await cut_off()

    assert lost_dependency(caught.value) == "database"
    assert is_outage(caught.value)


async def test_a_refused_database_connection_is_recognised() -> None:
    """The plain OSError of asyncpg from a port where nobody listens counts as the database."""
    with pytest.raises(OSError, match="Connect call failed") as caught:
        await asyncpg.connect(f"postgresql://u@127.0.0.1:{_closed_port()}/d", timeout=5)
    assert lost_dependency(caught.value) == "database"


async def test_a_refused_redis_connection_is_recognised() -> None:
    """A command to a port where nobody listens counts as Redis, and fails soon."""
    client = connect(f"redis://127.0.0.1:{_closed_port()}/0")
    with pytest.raises(redis.exceptions.ConnectionError) as caught:
        await client.get("x")
    await client.aclose()
    assert lost_dependency(caught.value) == "redis"


def test_unavailable_names_its_dependency() -> None:
    """What a client sees of a lost database is SERVICE_UNAVAILABLE with its name."""
    status = to_status(Unavailable("gone", dependency="database"))
    back = from_status(status, grpc.StatusCode.UNAVAILABLE)
    assert (back.reason, back.metadata) == ("SERVICE_UNAVAILABLE", {"dependency": "database"})


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
