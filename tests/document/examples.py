"""The examples of the document, sent as they stand, and answers held against the schemas beside them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import jsonschema_rs
import orjson

from gateway.envelope import JSON
from gateway.routes import Binding
from services.kit.ids import new_id
from tests.document.standing import Standing
from tests.e2e.people import Person

_ONCE = "request_id"
_FORM = "multipart/form-data"
_TIMEOUT = aiohttp.ClientTimeout(total=60)


@dataclass(frozen=True)
class Operation:
    """One operation of the document, and the route it was made from."""

    binding: Binding
    told: Any
    document: Any

    @property
    def name(self) -> str:
        """Return what it is called in a report."""
        return f"{self.binding.verb} {self.binding.path}"

    def fits(self, schema: Any, value: Any) -> list[str]:
        """Return what is wrong with a value by a schema of the document; empty when nothing is."""
        whole = {**schema, "components": self.document["components"]}
        validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return [str(each.message)[:300] for each in validator.iter_errors(value)]

    def properties(self, schema: Any) -> Any:
        """Return the properties of a body by their names."""
        return self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]


def operations(document: Any, bindings: list[Binding]) -> list[Operation]:
    """Return the operations of all routes."""
    paths = document["paths"]
    return [Operation(each, paths[each.template.documented][each.verb.lower()], document) for each in bindings]


def misfits(operation: Operation) -> Iterator[str]:
    """Yield each example of the operation that its own schema refuses, and each place that has none."""
    told = operation.told
    for parameter in told["parameters"]:
        if "example" not in parameter and parameter["required"]:
            yield f"{parameter['name']} has no example"
        if "example" in parameter:
            yield from operation.fits(parameter["schema"], parameter["example"])
    for kind, content in told.get("requestBody", {}).get("content", {}).items():
        if "example" not in content:
            yield f"the body as {kind} has no example"
        yield from operation.fits(content["schema"], content.get("example"))
    for status, answer in told["responses"].items():
        for kind, content in answer.get("content", {}).items():
            examples = [content["example"]] if "example" in content else _referred(operation, content)
            if not examples:
                yield f"{status} as {kind} has no example"
            if kind != "text/event-stream":
                for example in examples:
                    yield from (f"{status}: {each}" for each in operation.fits(content["schema"], example))


def _referred(operation: Operation, content: Any) -> list[Any]:
    known = operation.document["components"]["examples"]
    return [known[each["$ref"].rpartition("/")[2]]["value"] for each in content.get("examples", {}).values()]


async def sent(place: Standing, operation: Operation) -> str:
    """Send the example as somebody new who may call it; return what is wrong with the answer, or nothing."""
    status, kind, raw = await ask(operation, await place.caller(operation.binding), {})
    return _wrong(operation, status, kind, raw)


async def ask(operation: Operation, caller: Person, given: Mapping[str, str]) -> tuple[int, str, bytes]:
    """Send the example with other values for the fields that are given; return status, type and bytes of the answer."""
    told, path, query, headers = operation.told, operation.binding.template.documented, {}, {}
    for parameter in told["parameters"]:
        if "example" not in parameter and parameter["name"] not in given:
            continue
        example = str(given.get(parameter["name"], parameter.get("example")))
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", example)
        elif parameter["in"] == "query":
            query[parameter["name"]] = example
        else:
            headers[parameter["name"]] = example
    options: dict[str, Any] = {"headers": {**caller.headers(), **headers}, "params": query, "timeout": _TIMEOUT}
    for kind, content in told.get("requestBody", {}).get("content", {}).items():
        body = content["example"]
        if kind == JSON:
            properties = operation.properties(content["schema"])
            body = body | ({_ONCE: new_id()} if _ONCE in body else {})
            body = {**body, **{name: value for name, value in given.items() if name in properties}}
        options |= _body(kind, body, options["headers"])
    async with caller.session.request(operation.binding.verb, caller.base_url + path, **options) as answer:
        return answer.status, answer.content_type, await answer.read()


def _body(kind: str, example: Any, headers: dict[str, str]) -> dict[str, Any]:
    if kind == _FORM:
        form = aiohttp.FormData()
        for name, text in example.items():
            form.add_field(name, text.encode(), filename="hum.wav", content_type="audio/wav")
        return {"data": form}
    data = orjson.dumps(example) if kind == JSON else str(example).encode()
    return {"data": data, "headers": {**headers, "Content-Type": kind}}


def _wrong(operation: Operation, status: int, kind: str, raw: bytes) -> str:
    answer = operation.told["responses"].get(str(status))
    said = raw[:300].decode("utf-8", "replace")
    if answer is None:
        return f"{status} is not documented: {said}"
    content = answer.get("content", {}).get(kind)
    if content is None:
        return f"{status} as {kind} is not documented: {said}" if raw else ""
    if kind != JSON:
        return ""
    problems = operation.fits(content["schema"], orjson.loads(raw))
    return f"{status}: {problems} {said}" if problems else "refused: " + said if status == _PARAM_INVALID else ""


_PARAM_INVALID = 400
