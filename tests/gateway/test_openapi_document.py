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
        assert one["security"] == log["security"] == [{"token": []}]
        assert stream["security"] == [{"token": []}, {"stream_token": []}]
    upload = made["paths"]["/api/v1/assets/audio/upload"]["post"]["requestBody"]["content"]
    assert upload["multipart/form-data"]["schema"]["required"] == ["file"]


def test_refusals_come_from_the_contract(made: Any) -> None:
    """Access, body, ids, idempotency and the reasons that comments name are statuses of the route, each with a body."""
    create = made["paths"]["/api/v1/tracks"]["post"]["responses"]
    assert {"400", "401", "404", "406", "409", "413", "415", "422", "429", "500", "503", "504"} <= set(create)
    assert set(create["409"]["content"]["application/json"]["examples"]) >= {"CONFLICT", "PRICE_CHANGED"}
    assert create["429"]["headers"]["Retry-After"]["required"]
    assert "401" not in made["paths"]["/api/v1/auth/anonymous"]["post"]["responses"]
    assert "403" in made["paths"]["/api/v1/admin/wallet/plan"]["post"]["responses"]
    assert "403" not in made["paths"]["/api/v1/users/me"]["get"]["responses"]
    told = made["components"]["examples"]["NOT_FOUND"]["value"]
    assert (told["code"], told["error"]) == (10002, "NOT_FOUND")


def test_security_says_the_role_and_the_token_of_streams(made: Any) -> None:
    """A route of administrators asks for their role, a stream takes its token from the query too, a login none."""
    paths = made["paths"]
    assert paths["/api/v1/admin/reports"]["get"]["security"] == [{"token": ["admin"]}]
    assert paths["/api/v1/wallet/events"]["get"]["security"] == [{"token": []}, {"stream_token": []}]
    assert paths["/api/v1/auth/login"]["post"]["security"] == []
    assert set(made["components"]["securitySchemes"]) == {"token", "stream_token"}


def test_links_lead_from_the_making_to_what_can_be_done_with_it(made: Any) -> None:
    """What an answer's id opens is linked by operation and pointer: reading, changing and deleting a new track."""
    links = made["paths"]["/api/v1/tracks"]["post"]["responses"]["201"]["links"]
    assert {"TrackService_GetTrack", "TrackService_DeleteTrack", "JobService_GetJob"} <= set(links)
    assert links["TrackService_GetTrack"]["parameters"] == {"track_id": "$response.body#/data/track/track_id"}
    webhook = made["paths"]["/api/v1/webhooks"]["post"]["responses"]["201"]["links"]
    pointer = {"webhook_id": "$response.body#/data/webhook/webhook_id"}
    assert webhook["WebhookService_DeleteWebhook"]["parameters"] == pointer
    assert "links" not in made["paths"]["/api/v1/tracks"]["get"]["responses"]["200"]


def test_what_may_be_left_out_may_be_null(made: Any) -> None:
    """The schema of a body takes what the codec takes: null for what is not required, in messages inside too."""
    schemas = made["components"]["schemas"]
    wish = schemas["composer.CreateTrackRequest"]["properties"]
    assert wish["title"]["type"] == ["string", "null"]
    assert wish["tune_change"]["anyOf"][0] == {"$ref": "#/components/schemas/composer.TuneChange.Request"}
    assert "required" not in schemas["composer.TuneChange.Request"]
    assert schemas["wallet.AdjustBalanceRequest"]["required"] == ["user_id", "reason"]
