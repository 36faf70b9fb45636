"""Password logins and refreshes a second and core: `python -m tests.auth.measure`.

Auth and Wallet in one process as their composition roots build them, over real PostgreSQL (which flushes every commit)
and Valkey. A core's second is one of CPU time, so that a busy machine changes little; PostgreSQL's is told beside it.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import click
import psutil
from scipy.stats import mannwhitneyu

from cadenza.auth.v1 import session_service_pb2
from services.kit.db.migrate import upgrade
from services.kit.redis import connect
from services.mesh.postgres import Postgres
from services.mesh.valkey import Valkey
from tests.auth.house import House, house, new_mailbox, refused, until
from tests.conftest import SettableClock

ACCOUNTS = 8
LOGINS = 400
REFRESHES = 3_000
AT_ONCE = 8
TRIED = 30


def _spent_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process, none of one that is gone."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _cpu_s(server: int) -> tuple[float, float]:
    """Return the CPU seconds of this process, and of it with the PostgreSQL of this process id."""
    own, postgres = _spent_s(psutil.Process()), psutil.Process(server)
    return own, own + sum(_spent_s(each) for each in (postgres, *postgres.children(recursive=True)))


async def _timed(name: str, count: int, server: int, one: Callable[[int], Awaitable[object]]) -> None:
    """Run it so many times, a few at once, and say how fast that was."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await one(number)

    (own, every), began = _cpu_s(server), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    wall = time.perf_counter() - began
    after = _cpu_s(server)
    own, every = after[0] - own, after[1] - every
    click.echo(
        f"{name}: {count / own:.0f} a second and core, {count / every:.0f} with PostgreSQL's part counted, "
        f"{count / wall:.0f} a second on this machine"
    )


async def _measure(home: House, server: int) -> None:
    mailboxes = [new_mailbox() for _ in range(ACCOUNTS)]
    for mailbox in mailboxes:
        await home.register(mailbox)
    # One login of an account after the other, because each of several at once is counted as an attempt.
    await _timed("password logins", LOGINS, server, lambda n: home.login(mailboxes[n % ACCOUNTS]))
    await _compare_unknown(home)
    tokens = [(await home.device()).refresh_token for _ in range(AT_ONCE)]

    async def refresh(number: int) -> None:
        mine = number % AT_ONCE
        asked, tokens[mine] = tokens[mine], ""
        while not asked:
            await asyncio.sleep(0)
            asked, tokens[mine] = tokens[mine], ""
        request = session_service_pb2.RefreshSessionRequest(refresh_token=asked, retry_key="k" * 64)
        tokens[mine] = (await home.sessions.RefreshSession(request)).refresh_token

    await _timed("refreshes", REFRESHES, server, refresh)


async def _compare_unknown(home: House) -> None:
    """Say how long a wrong password takes for an account that there is and for one that there is not, in turn."""
    known = [new_mailbox() for _ in range(TRIED)]
    for mailbox in known:
        await home.register(mailbox)
    # Until the letters that welcome them are gone, which would be sent beside the first tries.
    await until(lambda: sum(len(home.outside.post.to(mailbox)) for mailbox in known) == 2 * TRIED, 60.0)
    # Every account four times, which locks none, and as many names without one, in an order of no meaning.
    order = [(True, mailbox) for mailbox in known] * 4 + [(False, new_mailbox()) for _ in known] * 4
    random.Random(1).shuffle(order)
    spent: dict[bool, list[float]] = {True: [], False: []}
    for there_is, account in order:
        began = time.perf_counter()
        await refused(home.login(account, "not the password"))
        spent[there_is].append(1000 * (time.perf_counter() - began))
    there, none = sorted(spent[True]), sorted(spent[False])
    chance = float(mannwhitneyu(there, none).pvalue)
    click.echo(
        f"wrong password: median {median(there):.1f} ms for an account, {median(none):.1f} ms for none, "
        f"{len(there)} tries each in random order; equal by rank with p = {chance:.2f}"
    )


async def _run(database_url: str, redis_url: str, server: int) -> None:
    redis = connect(redis_url)
    async with house(database_url, redis_url, redis, SettableClock()) as home:
        await _measure(home, server)
    await redis.aclose()


def main() -> int:
    """Start the servers, measure, stop them."""
    with tempfile.TemporaryDirectory(prefix="cadenza-measure-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        postgres, valkey = Postgres(Path(folder) / "postgres"), Valkey(Path(folder) / "valkey")
        try:
            database_url, redis_url = postgres.start(), valkey.start()
            upgrade(database_url)
            asyncio.run(_run(database_url, redis_url, postgres.pid or 0))
        finally:
            postgres.remove()
            valkey.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
