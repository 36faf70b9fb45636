"""The account and the places an embedded PostgreSQL may use when we are root.

PostgreSQL refuses to run as root, so root starts it as ``nobody``. That account must be able to reach the data and the
program. Where it cannot (a home under /root, a private virtual environment) we use a folder of ours in /var/tmp; we
never change the permissions of a folder that is somebody else's.
"""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from services.mesh.errors import CannotStart

SHARED_ROOT = Path("/var/tmp")  # noqa: S108 - the folder made in it is checked for owner and mode before use
UNPRIVILEGED = "nobody"


@dataclass(frozen=True)
class Account:
    """The user and group a server process runs as; nothing set means ours."""

    user: int | None = None
    group: int | None = None

    def own(self, path: Path) -> None:
        """Give ``path`` to this account."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

    def run(
        self, command: list[str], *, stdin: bytes = b"", timeout_s: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end as this account with a clean environment; output is captured."""
        return subprocess.run(
            command, input=stdin, capture_output=True, check=False, timeout=timeout_s, env=CLEAN_ENVIRONMENT, cwd="/",
            user=self.user, group=self.group, extra_groups=None if self.user is None else [],
        )  # fmt: skip


CLEAN_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def server_account() -> Account:
    """Return ``nobody`` for root and our own account for everybody else."""
    if os.geteuid() != 0:
        return Account()
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError as error:
        message = "PostgreSQL does not run as root and this system has no account named nobody."
        raise CannotStart(message, "Run as an ordinary user, or set DATABASE_URL to a server.") from error
    return Account(entry.pw_uid, entry.pw_gid)


def reachable_directory(directory: Path, account: Account) -> Path:
    """Return ``directory``, or its stand-in under /var/tmp when ``account`` cannot reach it; the folder exists then."""
    directory = directory.absolute()
    if account.user is None or _traversable(directory, account):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700 if account.user is None else 0o711)
        if account.user is not None and not _passes(directory, account):
            directory.chmod(directory.stat().st_mode | stat.S_IXOTH)  # Ours: it was made for this server.
        return directory
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    stand_in = private_directory(SHARED_ROOT / f"cadenza-{os.geteuid()}-{digest}")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (directory / "location.txt").write_text(f"{stand_in}\n")
    return stand_in


def private_directory(path: Path) -> Path:
    """Make ``path`` a folder only we can write and others can pass through; refuse one that somebody else prepared."""
    path.mkdir(mode=0o711, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        message = f"{path} exists and is not a private folder of ours."
        raise CannotStart(message, "Remove it, or choose another CADENZA_HOME.")
    path.chmod(0o711)
    return path


def reachable_programs(bin_directory: Path, account: Account) -> Path:
    """Return a folder with PostgreSQL's programs that ``account`` can run, copied to /var/tmp if need be."""
    if _runs(bin_directory, account):
        return bin_directory
    installation = bin_directory.parent
    shared = private_directory(SHARED_ROOT / f"cadenza-{os.geteuid()}-postgresql")
    program = (bin_directory / "postgres").stat()
    version = f"{program.st_size}-{program.st_mtime_ns}"  # A copy for each build, so that an upgrade is not missed.
    copy = shared / version
    if not _runs(copy / bin_directory.name, account):
        unfinished = shared / f"{version}.{os.getpid()}"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(installation, unfinished, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if path.is_dir() or mode & stat.S_IXUSR else 0o444))
        unfinished.rename(copy)
    return copy / bin_directory.name


def _runs(bin_directory: Path, account: Account) -> bool:
    """Return whether the server program really starts as ``account``; permissions alone do not tell (ACL, noexec)."""
    try:
        return account.run([str(bin_directory / "postgres"), "--version"]).returncode == 0
    except OSError:
        return False


def _traversable(directory: Path, account: Account) -> bool:
    """Return whether every existing folder above ``directory`` lets ``account`` through."""
    return all(_passes(parent, account) for parent in directory.parents if parent.exists())


def _passes(directory: Path, account: Account) -> bool:
    found = directory.stat()
    if found.st_uid == account.user:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.group:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
