"""The Postman collection and the descriptor set: whole, public, and every request in them reaches its method."""

from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.routes import public_bindings
from tests.gateway.asking import JSON, ask
from tests.gateway.conftest import ALICE


async def collection(http: ClientSession) -> Any:
    """Return the collection as it is downloaded."""
    async with http.get("/api/docs/postman.json", headers={"X-No-Compression": "1"}) as answer:
        assert answer.status == 200
        return orjson.loads(await answer.read())


@pytest.mark.point(30)
async def test_every_operation_is_a_request_that_its_method_accepts(http: ClientSession) -> None:
    """Sent as they stand, with a token, the requests meet no refusal of path, method, type or field.

    Streams and uploads are counted and not sent; what the services here do not implement answers in its own way.
    """
    made = await collection(http)
    requests = [item["request"] for folder in made["item"] for item in folder["item"]]
    bindings = public_bindings()
    assert len(requests) == len(bindings)
    assert made["info"]["schema"].endswith("v2.1.0/collection.json")
    refused = []
    for request in requests:
        url = request["url"]
        values = {f":{each['key']}": each["value"] for each in url["variable"]}
        path = "/".join(values.get(place, place) for place in url["path"])
        query = "&".join(f"{each['key']}={each['value']}" for each in url["query"] if not each["disabled"])
        body = request.get("body", {})
        if path.endswith("/events") or body.get("mode") == "formdata" or "uploads" in path:
            continue
        headers = JSON if body else ALICE
        status, answer, _ = await ask(
            http, request["method"], f"/{path}?{query}".rstrip("?"), data=body.get("raw"), headers=headers
        )
        if status in {400, 405, 406, 413, 415} or (status == 404 and answer["details"]["description"] == "Not Found"):
            refused.append((request["method"], path, answer["details"]["fields"]))
    assert refused == []


async def test_the_descriptor_set_stands_by_itself_and_is_public(http: ClientSession) -> None:
    """A pool of its own can be built from it; it has every public method and no internal one."""
    async with http.get("/api/docs/descriptors.binpb") as answer:
        assert answer.headers["Content-Type"] == "application/octet-stream"
        files = FileDescriptorSet.FromString(await answer.read()).file
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)
    services = [(f"{file.package}.{service.name}", service) for file in files for service in file.service]
    named = {(name, method.name) for name, service in services for method in service.method}
    assert named == {(each.method.service, each.method.name) for each in public_bindings()}
    assert all(pool.FindServiceByName(service).methods_by_name[name].input_type for service, name in named)
    assert "Hold" not in {name for _, name in named}
