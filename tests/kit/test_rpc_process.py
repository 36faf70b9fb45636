"""A service as a process: it starts from its environment, answers over mutual TLS, and stops on SIGTERM."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from services.kit.config import ProcessConfig
from services.kit.rpc.channel import MtlsPeers
from services.mesh.ca import Authority
from services.mesh.process import free_port
from tests.kit.echo_service import EchoRequest, EchoStub
from tests.kit.rpc_layouts import log_lines


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_serves_until_it_is_told_to_stop(tmp_path: Path, ending: signal.Signals) -> None:
    """The process answers an internal call, refuses a person without token, drains on a signal and logs JSON."""
    tls, port = tmp_path / "tls", free_port()
    Authority(tmp_path / "authority", tls).ensure()
    environment = {"CADENZA_TLS": str(tls), "WALLET_PORT": str(port), "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.kit.echo_process", env=environment, stdout=asyncio.subprocess.PIPE
    )
    peers = MtlsPeers(ProcessConfig(tls_directory=tls, wallet_address=f"127.0.0.1:{port}"), "gateway")
    stub: Any = EchoStub(peers.channel("wallet"))
    try:
        answer = await stub.Internal(EchoRequest(text="hello"), timeout=30, wait_for_ready=True)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.User(EchoRequest(), timeout=5)
    finally:
        process.send_signal(ending)
        output, _ = await asyncio.wait_for(process.communicate(), 10)
        await peers.close()
    assert (answer.text, answer.peer) == ("hello", "gateway")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert process.returncode == 0
    lines = log_lines(output.decode())
    assert len(lines) == len(output.decode().splitlines()), "every line is JSON"
    calls = [(line["code"], line["peer"]) for line in lines if line["message"] == "rpc"]
    assert calls == [("OK", "gateway"), ("UNAUTHENTICATED", "gateway")]
    # A refusal reaches its client a moment before the line about it is written, so their order is not fixed.
    assert "wallet drains" in [line["message"] for line in lines]
