"""Finds the Chromium that the browser stories drive, and installs Debian's where that is allowed.

``python -m tests.e2e.chromium`` does the same by hand and prints where it is.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PACKAGES = ("chromium", "fonts-noto-cjk")
_INSTALL_S = 280


class NoChromiumError(Exception):
    """There is no Chromium and none could be installed; the text says why and what to do."""


def find_chromium() -> str:
    """Return the path of a Chromium, having installed one if need be; raises NoChromiumError."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    advice = f"install it with: apt-get install --no-install-recommends {' '.join(PACKAGES)}"
    if shutil.which("apt-get") is None:
        raise NoChromiumError("no Chromium on the path, and no apt-get to install one with")
    if os.geteuid() != 0:
        raise NoChromiumError(f"no Chromium on the path, and only root may install one; {advice}")
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
        try:
            done = subprocess.run(
                ["apt-get", "-o", "Acquire::Retries=1", "-o", "DPkg::Lock::Timeout=60", *command],  # noqa: S607  # whichever apt-get is installed
                capture_output=True,
                text=True,
                check=False,
                timeout=_INSTALL_S,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise NoChromiumError(f"installing Chromium took longer than {_INSTALL_S} s; {advice}") from error
        if done.returncode and command[0] == "install":
            last = (done.stderr.strip().splitlines() or ["apt-get said nothing"])[-1]
            raise NoChromiumError(f"Chromium could not be installed ({last}); {advice}")
    found = shutil.which(NAMES[0])
    if found is None:
        raise NoChromiumError(f"the package chromium brought no chromium; {advice}")
    return found


@asynccontextmanager
async def singing_browser(executable: str, sound: Path) -> AsyncIterator[Browser]:
    """Run a headless browser whose microphone hears the sound file, from the start of each recording, once."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=[
                "--no-sandbox",  # root, and containers without user namespaces
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={sound}%noloop",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()


if __name__ == "__main__":
    try:
        sys.stdout.write(find_chromium() + "\n")
    except NoChromiumError as reason:
        sys.exit(str(reason))
