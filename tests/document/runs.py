"""Runs of schemathesis against a standing mesh: examples, bounds, random requests and those that follow links."""

import asyncio
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.document.standing import Standing

_CHAINS = 30
# What a service refuses beyond types and bounds (a code that is not right) a schema cannot say, so that a request
# which fits it may be refused; every other check is on.
_LEFT_OUT = "positive_data_acceptance"
_LONGEST_S = 3000
_SHOWN = 12_000


@dataclass
class Run:
    """What was asked and what was found; `failures` are schemathesis's words for each kind."""

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    said: str = ""

    @property
    def clean(self) -> bool:
        """Return whether nothing was found and nothing broke."""
        return not self.failures and not self.errors

    def add(self, other: "Run") -> None:
        """Add what another run did."""
        self.requests += other.requests
        self.failures += other.failures
        self.errors += other.errors
        self.statuses += other.statuses
        self.said += other.said


async def run(place: Standing, folder: Path, *, seed: int, examples: int, part: int = 1) -> Run:
    """Return what schemathesis found with so many random requests to each operation, in all of its phases.

    Every `part`th operation only is asked at all bounds of its schema, which is most of what there is to ask.
    """
    report, log, settings = folder / f"report-{seed}.json", folder / f"requests-{seed}.jsonl", folder / "settings.toml"
    settings.write_text(_settings(place, part, chains=examples * _CHAINS))
    environment = {
        **os.environ,  # noqa: TID251  # the path, for a process of its own
        "SCHEMATHESIS_HOOKS": "tests.document.hooks",
        "DOCUMENT_URL": place.mesh.base_url,
        "DOCUMENT_ADMIN": (await place.administrator()).token,
        "DOCUMENT_LOG": str(log),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    options = {
        "--max-examples": str(examples),
        "--seed": str(seed),
        "--exclude-checks": _LEFT_OUT,
        "--generation-allow-x00": "false",
        "--generation-database": "none",
        "--request-timeout": "30",
        "--report": "json",
        "--report-json-path": str(report),
    }
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("st")),
        "--config-file",
        str(settings),
        "run",
        f"{place.mesh.base_url}/api/docs/openapi.json",
        "--continue-on-failure",
        "--no-shrink",
        "--no-color",
        *(text for pair in options.items() for text in pair),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _LONGEST_S)
    finally:
        if process.returncode is None:
            process.kill()
    return _read(report, log, said.decode("utf-8", "replace"))


def _settings(place: Standing, part: int, *, chains: int) -> str:
    """Return schemathesis's settings: how many chains of linked requests, and who is not asked at all bounds."""
    told = [operation for verbs in place.document["paths"].values() for operation in verbs.values()]
    left_out = [each["operationId"] for number, each in enumerate(told) if number % part]
    lines = ["[phases.stateful]", f"generation.max-examples = {chains}"]
    for each in left_out:
        lines += ["[[operations]]", f'include-operation-id = "{each}"', "phases.coverage.enabled = false"]
    return "\n".join(lines)


def _read(report: Path, log: Path, said: str) -> Run:
    # Who is interrupted leaves a report with nothing in it.
    written = report.read_text() if report.exists() else ""
    told: Any = json.loads(written) if written else {"failures": [], "errors": [said[-_SHOWN:] or "no report"]}
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return Run(
        requests=len(lines),
        failures=[f"{each['title']}: {', '.join(each['operations'])}" for each in told["failures"]],
        errors=[str(each) for each in told["errors"]],
        statuses=Counter(int(line[1]) for line in lines),
        said=said[-_SHOWN:] if told["failures"] or told["errors"] else "",
    )
