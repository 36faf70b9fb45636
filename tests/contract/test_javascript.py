"""The JavaScript client names every public method, and the pages make their calls through it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

import cadenza
from gateway.pages_files import CLIENT, FOLDER
from gateway.routes import public_bindings
from tests.contract.javascript import javascript_client

_DESCRIPTORS = Path(next(iter(cadenza.__path__))) / "descriptors.binpb"
_NODE_S = 20


def _answers(*expressions: str) -> list[object]:
    """Return what JavaScript makes of the expressions with the client as `c`; skips where no Node is installed."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    tried = ", ".join(f"attempt(() => {expression})" for expression in expressions)
    script = f"""const c = await import("data:text/javascript," + encodeURIComponent({json.dumps(CLIENT.read_text())}));
    const attempt = (make) => {{ try {{ return make(); }} catch (error) {{ return String(error); }} }};
    console.log(JSON.stringify([{tried}]));"""
    done = subprocess.run(
        [node, "--input-type=module", "-e", script], check=True, capture_output=True, text=True, timeout=_NODE_S
    )
    found: list[object] = json.loads(done.stdout)
    return found


def test_every_public_method_is_a_function_with_its_verb_and_path() -> None:
    """What the file says of each method is what the gateway serves, older spellings left out."""
    said = re.findall(r'export const (\w+) = call\("(\w+)", "([^"]+)"(, true)?\);', CLIENT.read_text(encoding="utf-8"))
    served = []
    for binding in public_bindings():
        if not binding.additional:
            method = binding.method.path.rsplit("/", 1)[-1]
            posts = ", true" if binding.body else ""
            served.append((method[0].lower() + method[1:], binding.verb, binding.path, posts))
    assert sorted(said) == sorted(served)


def test_fields_go_where_the_contract_puts_them() -> None:
    """Fields named in the path stand in it, escaped; the rest is the query, or the body; a missing one is an error."""
    got = _answers(
        'c.getTrack({ track_id: "a/b ?" })',
        'c.listTracks({ page_size: 3, query: "海 边", trashed: false, page_token: undefined })',
        'c.updateTrack({ track_id: "x", title: "y" })',
        "c.endSessions({ keep_current: true })",
        'c.createTrack({ title: "t" })',
        "c.getTrack({})",
    )
    assert got == [
        {"method": "GET", "path": "/api/v1/tracks/a%2Fb%20%3F"},
        {"method": "GET", "path": "/api/v1/tracks?page_size=3&query=%E6%B5%B7+%E8%BE%B9&trashed=false"},
        {"method": "PATCH", "path": "/api/v1/tracks/x", "body": {"title": "y"}},
        {"method": "DELETE", "path": "/api/v1/users/me/sessions?keep_current=true"},
        {"method": "POST", "path": "/api/v1/tracks", "body": {"title": "t"}},
        "TypeError: track_id is missing",
    ]


def test_no_page_spells_a_route_of_the_contract() -> None:
    """The only path of the API in the pages' own scripts is the gateway's configuration, which no contract has."""
    spelt = {
        (script.name, path)
        for script in FOLDER.glob("*.js")
        for path in re.findall(r"/api/v1[^\"`\s]*", script.read_text(encoding="utf-8"))
    }
    assert spelt == {("take.js", "/api/v1/config/client")}


def test_what_the_client_cannot_say_is_refused(tmp_path: Path) -> None:
    """A rule with a body that is one field, and two methods of one name, stop the generation."""
    whole = descriptor_pb2.FileDescriptorSet.FromString(_DESCRIPTORS.read_bytes())
    tracks = next(each for file in whole.file for each in file.service if each.name == "TrackService")
    made = next(each for each in tracks.method if each.name == "CreateTrack")
    planted = tmp_path / "descriptors.binpb"

    made.options.Extensions[annotations_pb2.http].body = "tune_change"
    planted.write_bytes(whole.SerializeToString())
    with pytest.raises(ValueError, match="CreateTrack has an HTTP rule"):
        javascript_client(planted)

    made.options.Extensions[annotations_pb2.http].body = "*"
    made.name = "GetBalance"
    planted.write_bytes(whole.SerializeToString())
    with pytest.raises(ValueError, match="both have a public method GetBalance"):
        javascript_client(planted)
