"""Generates gen/ from proto/: messages and servicers for the mesh, and the typed client package.

Servers and gateway use protobuf (upb) with stubs typed by mypy-protobuf; `gen/cadenza_client` is the dataclass
client made by betterproto2 (decision 11), `gen/cadenza/client.js` the client of the pages. Nothing in gen/ is ever
edited by hand; `--check` fails when it is stale.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.contract.javascript import javascript_client

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
GEN = ROOT / "gen"
BIN = Path(sys.executable).parent
CLIENT = "cadenza_client"


def _protoc(*arguments: str) -> None:
    """Run the protoc inside grpcio-tools with the project's own plugins on the path."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", *arguments]
    done = subprocess.run(command, check=False, cwd=PROTO, env=environment, timeout=120, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)


def _names(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(PROTO)) for path in PROTO.glob(pattern))


def generate(target: Path) -> None:
    """Write everything that belongs in gen/ into *target*."""
    own = _names("cadenza/**/*.proto")
    services = [name for name in own if name.endswith("_service.proto")]
    messages = [*own, *_names("buf/**/*.proto")]
    _protoc(f"--python_out={target}", f"--mypy_out=quiet:{target}", *messages)
    _protoc(f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}", *services)
    # The comments of the contract, for the API document of the gateway.
    _protoc(
        f"--descriptor_set_out={target / 'cadenza' / 'descriptors.binpb'}",
        "--include_imports",
        "--include_source_info",
        *own,
    )
    script = javascript_client(target / "cadenza" / "descriptors.binpb")
    (target / "cadenza" / "client.js").write_text(script, encoding="utf-8")
    client = target / CLIENT
    client.mkdir()
    _protoc(f"--python_betterproto2_out={client}", "--python_betterproto2_opt=client_generation=async", *own)


def _files(folder: Path) -> set[Path]:
    return {
        path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }


def stale() -> list[str]:
    """Return the files in gen/ that differ from what the contracts say now, missing and surplus ones included."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        expected, present = _files(fresh), _files(GEN)
        changed = {path for path in expected & present if not filecmp.cmp(fresh / path, GEN / path, shallow=False)}
        return sorted(str(path) for path in (expected ^ present) | changed)


def main() -> int:
    """Generate, or with --check only compare; the exit status says whether gen/ is current."""
    if "--check" in sys.argv[1:]:
        differences = stale()
        for path in differences:
            sys.stderr.write(f"gen/{path} is not current: run make gen\n")
        return 1 if differences else 0
    shutil.rmtree(GEN, ignore_errors=True)
    GEN.mkdir()
    generate(GEN)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
