"""Packages of Node that a story needs, from npm's registry; the story is skipped where there is none."""

import shutil
import subprocess
from pathlib import Path

import pytest

_INSTALL_S = 90


def install(folder: Path, *packages: str) -> Path:
    """Return the folder of modules with the packages in it; skips where Node or its registry is not there."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("Node is not installed")
    command = [npm, "install", "--no-audit", "--no-fund", "--silent", *packages]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        pytest.skip("npm does not reach its registry")
    if done.returncode != 0:
        pytest.skip(f"npm cannot install {' '.join(packages)}: {done.stderr.strip()[-200:]}")
    return folder / "node_modules"
