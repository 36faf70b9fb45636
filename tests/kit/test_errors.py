"""Domain errors carry reason, text and facts."""

import inspect

import pytest

from services.kit import errors
from services.kit.errors import DomainError, FieldViolation, NotFound, ParamInvalid, RemoteError


def test_metadata_is_text() -> None:
    """Numbers given as metadata arrive as text, because ErrorInfo holds nothing else."""
    error = DomainError("too few", needed=12, available="5")
    assert error.metadata == {"needed": "12", "available": "5"}
    assert (error.message, str(error)) == ("too few", "too few")


def test_metadata_may_be_called_message() -> None:
    """No name of a fact collides with the parameters of the error itself."""
    assert DomainError("text", message="fact", self="me").metadata == {"message": "fact", "self": "me"}


def test_a_field_error_names_the_field_twice() -> None:
    """ParamInvalid.of puts the field into the violation and into the metadata."""
    error = ParamInvalid.of("asset_id", "must be set", "required")
    assert error.violations == (FieldViolation("asset_id", "required", "must be set"),)
    assert error.metadata == {"field": "asset_id"}
    assert error.message == "asset_id: must be set"


def test_a_remote_error_has_its_own_reason() -> None:
    """The reason of another service's error does not change that of the class."""
    assert RemoteError("INSUFFICIENT_CREDITS", "too few").reason == "INSUFFICIENT_CREDITS"
    assert RemoteError.reason == "UNKNOWN_ERROR"


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, DomainError) and kind not in {DomainError, RemoteError}
    ],
)
def test_every_error_has_a_reason_of_its_own(kind: type[DomainError]) -> None:
    """No class of the kit falls back to the reason for the unforeseen."""
    assert "reason" in vars(kind)
    assert kind.reason != "UNKNOWN_ERROR"


def test_a_written_error_names_its_reason() -> None:
    """What logs and rows keep of an error holds its reason, also of one that another service gave."""
    assert "NOT_FOUND: there is no such song" in repr(NotFound("there is no such song"))
    assert "JOB_LEASE_LOST: too late" in repr(RemoteError("JOB_LEASE_LOST", "too late"))
