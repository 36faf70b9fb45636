"""The files that deploy Cadenza agree with its code, as far as that can be seen without a container engine."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from services.kit.config import settings_of
from services.mesh.ca import Authority
from services.mesh.cli import main
from tests.contract.settings import ROOMS

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("auth", "wallet", "composer", "media", "share")


def _compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return document


def _envoy() -> str:
    return (ROOT / "gateway" / "envoy.yaml").read_text(encoding="utf-8")


def _port(module: str, env: str) -> int:
    return next(
        int(str(each.default)) for each in settings_of(importlib.import_module(module).Config) if each.env == env
    )


def test_compose_runs_every_process() -> None:
    """There is a container for each service, the workers, the gateway, the edge and what they stand on."""
    wanted = {*SERVICES, "worker", "gateway", "envoy", "postgres", "redis", "objects", "migrate", "certificates"}

    assert wanted <= set(_compose()["services"])


def test_compose_commands_exist() -> None:
    """Every command of our own image is one that `cadenza` knows."""
    for name, service in _compose()["services"].items():
        command = service.get("command", [])
        if command[:1] == ["cadenza"]:
            result = CliRunner().invoke(main, [*command[1:], "--help"])

            assert result.exit_code == 0, (name, command)


@pytest.mark.parametrize("service", SERVICES)
def test_ports_agree(service: str) -> None:
    """The port of a service is the same in its code, in the compose file and at the edge."""
    port = _port(f"services.{service}.config", f"{service.upper()}_PORT")
    compose = _compose()

    assert compose["services"][service]["expose"] == [str(port)]
    assert compose["x-environment"][f"{service.upper()}_ADDRESS"] == f"{service}:{port}"
    assert f"address: {service}, port_value: {port}" in _envoy()


def test_public_ports_agree() -> None:
    """Gateway and edge are published on the ports that the code has as defaults."""
    services = _compose()["services"]

    assert services["gateway"]["ports"] == [f"127.0.0.1:8080:{_port('gateway.config', 'GATEWAY_PORT')}"]
    assert services["envoy"]["ports"] == [f"127.0.0.1:50050:{_port('services.mesh.config', 'EDGE_PORT')}"]
    assert len(ROOMS) == len(SERVICES) + 2


def test_every_depended_container_exists() -> None:
    """No container waits for one that is not there, and no volume is used that is not declared."""
    compose = _compose()
    for service in compose["services"].values():
        assert set(service.get("depends_on", {})) <= set(compose["services"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]

            assert source.startswith("./") or source in compose["volumes"]


def test_the_image_runs_as_an_ordinary_user() -> None:
    """The image ends with a user of id 1001, has an init, and copies only paths that exist."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")

    assert re.findall(r"^USER (\w+)$", text, re.MULTILINE)[-1:] == ["cadenza"]
    assert "--uid 1001" in text
    assert '"/usr/bin/tini"' in text
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists(), source


def test_envoy_accepts_the_edge(tmp_path: Path) -> None:
    """Envoy itself finds the edge configuration sound, with certificates of the private authority."""
    program = Path(sys.executable).parent / "envoy"
    if not program.exists():
        pytest.skip("envoy is installed on Linux only")
    Authority(tmp_path / "authority", tmp_path / "tls").ensure()
    file = tmp_path / "envoy.yaml"
    file.write_text(_envoy().replace("/tls/", f"{tmp_path}/tls/"), encoding="utf-8")
    done = subprocess.run(
        [str(program), "--mode", "validate", "-c", str(file)], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
