"""``cadenza ledger verify``: the proof of the books, shown to an operator."""

import asyncio
import time

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from services.kit.db.engine import Database
from services.mesh.database import at_hand
from services.mesh.home import Home
from services.wallet.usecases.ledger import Flaw, Ledger, Proof


def verify(home: Home | None = None) -> int:
    """Read the whole ledger, say what was found, and return 0 when it is whole and 1 when it is not.

    The first flaw is named with its account, version and entry. Raises `CannotStart` without a database.
    """
    with at_hand(home) as database_url:
        began = time.monotonic()
        proof = asyncio.run(_prove(database_url))
        seconds = time.monotonic() - began
    read = f"{proof.entries:,} entries of {proof.accounts:,} accounts read in {seconds:.1f} s"
    if proof.flaw is None:
        click.secho(f"The ledger is whole: {proof.transfers:,} transfers sum to zero; {read}.", fg="green")
        return 0
    click.secho("The ledger is broken here:", fg="red", err=True)
    for line in _lines(proof.flaw):
        click.echo(f"  {line}", err=True)
    click.echo(f"Everything before it is whole; {read}. Compare this entry with a backup.", err=True)
    return 1


async def _prove(database_url: str) -> Proof:
    database = Database(database_url, pool_size=1, max_overflow=0)
    columns = (TextColumn("ledger"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("ledger", total=None)
            return await Ledger(database).verify(lambda done, total: bar.update(task, completed=done, total=total))
    finally:
        await database.close()


def _lines(flaw: Flaw) -> list[str]:
    """Return the flaw as a few words a line, what is unknown left out."""
    named = {
        "account": flaw.account_id,
        "version": flaw.version or "",
        "entry": flaw.entry_id,
        "transfer": flaw.transfer_id,
        "what is wrong": flaw.what,
    }
    return [f"{name}: {value}" for name, value in named.items() if value]
