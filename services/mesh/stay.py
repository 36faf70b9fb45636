"""``cadenza up``: starts the mesh, says where it is and what to paste next, and stays until told to stop."""

import asyncio
import signal
import time

import click

from services.mesh.home import Home
from services.mesh.supervisor import ChildStatus
from services.mesh.up import RunningMesh, start_mesh, stop_mesh


async def stay(home: Home | None = None) -> int:
    """Run the mesh until SIGINT or SIGTERM; return the exit status, 0 when everything stopped in order."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, stopping.set)
    starting = asyncio.create_task(start_mesh(home or Home(), on_restart=_say_restarted))
    told = asyncio.create_task(stopping.wait())
    click.echo("Starting Cadenza ...")
    began = time.monotonic()
    await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return 0
    mesh = await starting
    _show(mesh, time.monotonic() - began)
    await told
    click.echo("Stopping ...")
    await stop_mesh(mesh)
    click.echo("Stopped. The data stays in " + str(mesh.home.root))
    return 0


def _say_restarted(status: ChildStatus, backoff_s: float) -> None:
    click.secho(
        f"{status.name} ended with status {status.last_exit}; starting it again in {backoff_s:.1f} s", fg="yellow"
    )


def _show(mesh: RunningMesh, seconds: float) -> None:
    """Print the addresses and commands to try, each on a line of its own so that it can be copied."""
    from rich.console import Console
    from rich.table import Table

    home, url, edge = mesh.home, mesh.base_url, mesh.edge_address
    table = Table(title=f"Cadenza is up after {seconds:.1f} s", title_justify="left", box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    stages = ", ".join(f"{name} after {value:.1f} s" for name, value in mesh.timings.items())
    for name, value in (
        ("Studio", f"{url}/"),
        ("API", f"{url}/api/v1"),
        ("API docs", f"{url}/api/docs"),
        ("gRPC", f"{edge} (plaintext, reflection)"),
        *([("Sandbox", f"{mesh.sandbox_url}/ (mails, SMS, ways to fail)")] if mesh.sandbox_url else []),
        ("Workers", str(home.workers)),
        ("Data", str(home.root)),
        ("Logs", str(home.logs)),
        ("Start", stages),
    ):
        table.add_row(name, value)
    Console().print(table)
    login = f"curl -s {url}/api/v1/auth/anonymous -H 'content-type: application/json'"
    click.echo("\nTry next:")
    for line in (
        login + """ -d '{"provider":"web","provider_id":"my-laptop-00000001"}'""",
        f"grpcurl -plaintext {edge} list",
        f"buf curl --protocol grpc --http2-prior-knowledge --list-methods http://{edge}",
    ):
        click.echo(f"  {line}")
    click.echo("\nCtrl-C stops it.")
