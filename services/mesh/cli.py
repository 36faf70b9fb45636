"""The ``cadenza`` command.

Everything heavy is imported inside the subcommand that needs it: ``cadenza --help`` answers at once, and a worker does
not carry the gateway's memory.
"""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from services.mesh.errors import CannotStart
from services.mesh.orphan import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICES = ("auth", "wallet", "composer", "media", "share")


class _Advising(click.Group):
    """Shows problems of this machine as two sentences, not as a stack."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the subcommand; leave with status 1 and the advice when the mesh cannot start."""
        try:
            return super().invoke(ctx)
        except CannotStart as error:
            click.secho(error.problem, fg="red", err=True)
            if error.advice:
                click.echo(error.advice, err=True)
            raise SystemExit(1) from error


@click.group(cls=_Advising, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cadenza", message="%(version)s")
def main() -> None:
    """Cadenza: hum in, song out."""
    end_with_parent()


@main.command()
def up() -> None:
    """Keep the whole mesh running on this machine until Ctrl-C."""
    from services.mesh.stay import stay

    raise SystemExit(asyncio.run(stay()))


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Instead of SANDBOX_PORT.")
def sandbox(port: int | None) -> None:
    """Run stand-ins for all vendors on this machine, so that every path can be tried without a key."""
    from services.mesh.home import Home
    from services.mesh.sandbox import stay

    home = Home()
    if port is not None:
        home.environ["SANDBOX_PORT"] = str(port)
    stay(home)


@main.command()
@click.option("--hum", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your own recording.")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("out/demo"), help="Where to write."
)
def demo(hum: Path | None, out: Path) -> None:
    """Hum in, song out: run everything once and write both songs and a report."""
    from services.mesh.demo import run

    raise SystemExit(run(hum, out))


@main.command()
@click.argument("theme", required=False)
@click.option("--style", default="", help="For example folk, rock, 古风.")
@click.option("--mood", default="", help="For example happy, 治愈.")
@click.option("--language", type=click.Choice(["auto", "zh", "en"]), default="auto", show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other words.")
@click.option("--samples", type=click.IntRange(1, 1000), help="That many versions over many themes instead.")
def lyrics(theme: str | None, *, style: str, mood: str, language: str, seed: int, samples: int | None) -> None:
    """Write words for a song without a model, or print samples to judge the writer by."""
    from services.mesh import words

    if (theme is None) == (samples is None):
        raise click.UsageError("Name a theme, or ask for --samples.")
    if samples is None:
        made = words.written(theme or "", style=style, mood=mood, language=language, seed=seed)
    else:
        made = words.samples(samples, seed)
    for brief, version in made:
        click.echo(words.shown(brief, version))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def doctor(*, as_json: bool) -> None:
    """Check this machine and say what to do about what is missing."""
    from services.mesh.doctor import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=1))
    else:
        colours = {"ok": "green", "warn": "yellow", "fail": "red"}
        for finding in findings:
            click.echo(
                f"{click.style(f'{finding.level:<4}', fg=colours[finding.level])}  {finding.subject}: {finding.fact}"
            )
            if finding.advice:
                click.echo(f"      {finding.advice}")
    raise SystemExit(1 if any(finding.level == "fail" for finding in findings) else 0)


@main.command()
@click.option("--quiet", is_flag=True, help="Say nothing when it went well.")
def migrate(*, quiet: bool) -> None:
    """Bring the database schema up to date: DATABASE_URL, or this home's own database."""
    from services.mesh.schema import bring_up_to_date

    bring_up_to_date()
    if not quiet:
        click.echo("The schema is up to date.")


@main.group()
def ledger() -> None:
    """Look into the books of Wallet."""


@ledger.command()
def verify() -> None:
    """Read every entry of the ledger and name the first one that is wrong; status 1 if there is one."""
    from services.mesh import ledger as books

    raise SystemExit(books.verify())


@main.command()
@click.option("--repair", "repairing", is_flag=True, help="Also do what is safe about it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def reconcile(*, repairing: bool, as_json: bool) -> None:
    """Compare ledger, holds, jobs and messages, and explain every difference."""
    from services.mesh import reconcile as books

    raise SystemExit(books.reconcile(repairing=repairing, as_json=as_json))


@main.command()
@click.argument("track_id")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("out/replay"), help="Where to write."
)
def replay(track_id: str, out: Path) -> None:
    """Make a finished song again from its recipe and say whether the bytes are the same."""
    from services.mesh import replay as songs

    raise SystemExit(songs.replay(track_id, out))


@main.command()
def worker() -> None:
    """Run one worker process for the jobs of Composer and Media."""
    from services.mesh.worker import run

    run()


@main.command()
@click.argument("service", type=click.Choice(SERVICES))
def serve(service: str) -> None:
    """Run one service as a process of its own (mTLS)."""
    from importlib import import_module

    start: Callable[[], None] = import_module(f"services.{service}.__main__").main
    start()


@main.command()
def gateway() -> None:
    """Run the JSON gateway as a process of its own."""
    from importlib import import_module

    start: Callable[[], None] = import_module("gateway.__main__").main
    start()


@main.command(hidden=True)
@click.option("--migrate", "migrating", is_flag=True, help="Bring the schema up to date first.")
def mesh(*, migrating: bool) -> None:
    """Run the gateway and all five services in this one process; ``up`` starts it."""
    from services.mesh.colocated import host

    host(migrating=migrating)


@main.command()
def certificates() -> None:
    """Make or renew the private certificates of this home (CADENZA_HOME, CADENZA_TLS)."""
    from services.kit.config import ProcessConfig, load
    from services.mesh.ca import Authority
    from services.mesh.home import Home

    tls = load(ProcessConfig).tls_directory
    issued = Authority(Home().authority, tls).ensure()
    click.echo(f"{len(issued)} certificates were issued into {tls}." if issued else "All certificates are current.")


@main.command(hidden=True)
@click.option("--authority", is_flag=True, help="Start a new authority as well.")
def rotate(*, authority: bool) -> None:
    """Replace the certificates of this home; running processes pick them up."""
    from services.mesh.ca import Authority
    from services.mesh.home import Home

    home = Home()
    issuer = Authority(home.authority, home.tls)
    if authority:
        issuer.rotate_authority()
    else:
        issuer.rotate()
    click.echo(f"New certificates are in {home.tls}.")
