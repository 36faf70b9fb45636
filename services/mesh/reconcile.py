"""``cadenza reconcile``: books, holds and jobs compared, shown to an operator.

It needs the database and no running mesh: Composer's jobs are asked for by its internal method all the same, served in
this process, so that neither service reads the schema of the other here either.
"""

import asyncio
import json
from collections import Counter
from datetime import timedelta

import click

from cadenza.composer.v1.bill_service_pb2_grpc import BillServiceStub, add_BillServiceServicer_to_server
from services.composer.rpc.bill import BillRpc
from services.composer.usecases.bill import Bills
from services.kit.clock import now
from services.kit.config import load
from services.kit.db.engine import Database
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.deadlines import Deadlines
from services.kit.rpc.errors import Errors
from services.kit.rpc.local import LocalMesh
from services.mesh.database import at_hand
from services.mesh.home import Home
from services.wallet.config import Config
from services.wallet.domain.reconciliation import Finding, Patience
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.reconciliation import Reconciliation


def reconcile(home: Home | None = None, *, repairing: bool, as_json: bool) -> int:
    """Compare everything, print each finding with its explanation, and return 0 when nothing is left, else 1.

    With `repairing` what is safe is done, each time with an entry and an audit line. Raises `CannotStart` without a
    database.
    """
    with at_hand(home) as database_url:
        found = asyncio.run(_compare(database_url, repairing=repairing))
    if as_json:
        click.echo(json.dumps([_plain(finding, done) for finding, done in found], indent=1))
    else:
        for finding, done in found:
            click.secho(f"{finding.kind.name}  {finding.subject}", fg="yellow" if done else "red")
            click.echo(f"  {finding.kind.value}{'  Repaired.' if done else ''}")
            if finding.facts:
                click.echo("  " + ", ".join(f"{name}: {value}" for name, value in finding.facts.items()))
        counts = Counter(finding.kind.name for finding, _ in found)
        if found:
            click.echo(f"{len(found)} findings: {', '.join(f'{n} {name}' for name, n in counts.most_common())}")
        else:
            click.secho("Books, holds and jobs agree.", fg="green")
    return 1 if any(not done for _, done in found) else 0


def _plain(finding: Finding, done: object) -> dict[str, object]:
    return {
        "kind": finding.kind.name,
        "explanation": finding.kind.value,
        "subject": finding.subject,
        "facts": finding.facts,
        "repaired": done,
    }


async def _compare(database_url: str, *, repairing: bool) -> list[tuple[Finding, bool]]:
    """Return every finding, and whether it was put right."""
    config = load(Config)
    db = Database(database_url, pool_size=2, max_overflow=2)
    mesh = LocalMesh()
    composer = Application("composer", [Registered(add_BillServiceServicer_to_server, BillRpc(Bills(db)))])
    mesh.add(composer, (Deadlines, Errors))
    patience = Patience(timedelta(seconds=config.reconcile_grace_s), timedelta(seconds=config.job_gone_s))
    credits_ = Credits(db, now, signup_grant_credits=config.signup_grant_credits)
    stub = BillServiceStub(mesh.peers("wallet").channel("composer"))
    try:
        reconciliation = Reconciliation(db, credits_, stub, now, patience=patience)
        found = await reconciliation.findings()
        return [(finding, repairing and await reconciliation.repair(finding)) for finding in found]
    finally:
        await mesh.drain(1.0)
        await db.close()
