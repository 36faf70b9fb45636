"""Envoy with its gRPC-JSON transcoder in front of the services: no TLS, no access log, no limits of its own."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.mesh.process import free_port

DESCRIPTORS = Path(__file__).parents[2] / "gen" / "cadenza" / "descriptors.binpb"
SERVICES = ("cadenza.wallet.v1.CreditService", "cadenza.composer.v1.TrackService")
PROGRAM = Path(sys.executable).parent / "envoy"
READY_S = 30.0
_TYPE = "type.googleapis.com/envoy.extensions"


class NoEnvoy(RuntimeError):
    """Envoy cannot be had on this machine; the text says why."""


@dataclass(frozen=True)
class Running:
    """A running Envoy."""

    pid: int
    port: int


@asynccontextmanager
async def running_envoy(folder: Path, services_port: int, tls: Path | None = None) -> AsyncIterator[Running]:
    """Run Envoy in front of the services until the end, with mutual TLS when given its folder; raises NoEnvoy."""
    if not PROGRAM.exists():
        raise NoEnvoy("the wheel is for Linux only")
    port = free_port(None)
    file, log = folder / f"envoy-{port}.json", folder / f"envoy-{port}.log"
    file.write_text(json.dumps(configuration(port, services_port, tls)))
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(str(PROGRAM), "-c", str(file), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"),
            stdout=out,
            stderr=out,
        )
    try:
        await _listening(process, port, log)
        yield Running(process.pid, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    async with asyncio.timeout(READY_S):
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
    raise NoEnvoy(f"it does not start: {_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-500:]


def configuration(port: int, services_port: int, tls: Path | None = None) -> dict[str, Any]:
    """Return the bootstrap: one listener with the transcoder, one cluster of HTTP/2, with mutual TLS or none."""
    transcoder = {
        "@type": f"{_TYPE}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(DESCRIPTORS),
        "services": list(SERVICES),
        "print_options": {"always_print_primitive_fields": True, "preserve_proto_field_names": True},
    }
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "services",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "services", "timeout": "10s"}}],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": transcoder},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
            },
        ],
    }
    http2 = {
        "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    secured = {} if tls is None else {"transport_socket": _mutual_tls(tls)}
    return {
        "static_resources": {
            "listeners": [{"name": "edge", "address": _address(port), "filter_chains": [chain]}],
            "clusters": [
                {
                    "name": "services",
                    "type": "STATIC",
                    **secured,
                    "typed_extension_protocol_options": {
                        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
                    },
                    "load_assignment": {
                        "cluster_name": "services",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(services_port)}}]}],
                    },
                }
            ],
        }
    }


def _mutual_tls(tls: Path) -> dict[str, Any]:
    """Return the transport of a gateway that shows its certificate and asks for the mesh's."""
    shown = {
        "certificate_chain": {"filename": f"{tls}/gateway.pem"},
        "private_key": {"filename": f"{tls}/gateway-key.pem"},
    }
    common = {
        "alpn_protocols": ["h2"],
        "tls_certificates": [shown],
        "validation_context": {"trusted_ca": {"filename": f"{tls}/ca.pem"}},
    }
    context = {
        "@type": f"{_TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "wallet",
        "common_tls_context": common,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
