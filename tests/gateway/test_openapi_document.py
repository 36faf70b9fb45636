"""The API document: valid, complete, and worded by the contracts."""

from typing import Any

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.openapi import document
from gateway.routes import Binding, public_bindings

BINDINGS = public_bindings()


@pytest.fixture(scope="module")
def made() -> Any:
    """Return the document."""
    return orjson.loads(document(BINDINGS, server="http://gateway.test"))


def test_the_document_is_valid_openapi(made: Any) -> None:
    """A validator that is not ours finds nothing."""
    assert list(OpenAPIV31SpecValidator(made).iter_errors()) == []


@pytest.mark.point(8, 30)
@pytest.mark.parametrize("binding", BINDINGS, ids=lambda each: f"{each.verb} {each.path}")
def test_every_route_is_an_operation_with_words_parameters_and_security(made: Any, binding: Binding) -> None:
    """Path variables, success status, error shape, token and the comment of the contract are there."""
    operation = made["paths"][binding.template.documented][binding.verb.lower()]
    assert operation["summary"] != binding.method.name
    found = {(each["in"], each["name"]) for each in operation["parameters"]}
    assert {("path", field.name) for field in binding.variables} <= found
    assert str(binding.http_status) in operation["responses"]
    assert operation["responses"]["default"] == {"$ref": "#/components/responses/Error"}
    assert bool(operation["security"]) == (binding.method.access != 1)
    assert operation.get("deprecated", False) == binding.additional
    assert ("requestBody" in operation) == bool(binding.body)


def test_schemas_say_what_the_codec_prints(made: Any) -> None:
    """Counts are integers, enums are the short words, times are date-time and may be null, all keys are there."""
    track = made["components"]["schemas"]["composer.Track"]
    assert track["properties"]["cost_credits"]["type"] == "integer"
    assert track["properties"]["state"]["enum"] == ["unspecified", "generating", "ready", "failed", "cancelled"]
    assert track["properties"]["create_time"]["type"] == ["string", "null"]
    assert track["properties"]["analysis"]["anyOf"][1] == {"type": "null"}
    assert set(track["required"]) == set(track["properties"])
    assert track["description"] == "A song in the making or made."


def test_rules_of_the_contract_become_rules_of_the_document(made: Any) -> None:
    """What validation refuses is written down where a client's author looks."""
    wish = made["components"]["schemas"]["composer.CreateTrackRequest"]
    choice = made["components"]["schemas"]["composer.ChooseVariantRequest"]
    assert choice["required"] == ["variant_id"]
    assert wish["properties"]["asset_id"]["format"] == "uuid"
    assert wish["properties"]["duration_s"]["maximum"] == 180
    assert "track_id" not in made["components"]["schemas"]["composer.UpdateTrackRequest"]["properties"]


def test_streams_and_uploads_have_their_own_types(made: Any) -> None:
    """An event stream comes in three forms, an upload is a form with a file."""
    events = made["paths"]["/api/v1/jobs/{job_id}/events"]["get"]["responses"]["200"]["content"]
    assert set(events) == {"text/event-stream", "application/x-ndjson", "application/json"}
    for thing, name in (("jobs/{job_id}", "job"), ("assets/{asset_id}", "asset")):
        # Whatever has a job is read, streamed and polled alike.
        one, stream, log = (made["paths"][f"/api/v1/{thing}{rest}"]["get"] for rest in ("", "/events", "/log"))
        assert {each["name"] for each in stream["parameters"]} >= {f"{name}_id", "after_sequence"}
        assert {each["name"] for each in log["parameters"]} >= {f"{name}_id", "after_sequence", "page_token"}
        assert "EVENTS_GONE" in log["description"] + log["summary"]
        assert "EVENTS_GONE" in stream["description"] + stream["summary"]
        assert one["security"] == stream["security"] == log["security"]
    upload = made["paths"]["/api/v1/assets/audio/upload"]["post"]["requestBody"]["content"]
    assert upload["multipart/form-data"]["schema"]["required"] == ["file"]
