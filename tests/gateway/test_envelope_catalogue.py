"""The two tables keyed by Reason are whole, and every sentence can be told."""

import re

import pytest

from cadenza.error.v1 import reason_pb2
from gateway.caller import Caller
from gateway.envelope import CODES, STATUSES, failure_body
from gateway.messages import MESSAGES, Sentence
from services.kit.errors import DomainError, RemoteError
from services.kit.rpc.errors import CODES as GRPC_CODES

REASONS = {name.removeprefix("REASON_") for name, number in reason_pb2.Reason.items() if number}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_every_reason_has_a_status_a_number_and_both_sentences() -> None:
    """The tables hold exactly the enum, and the gRPC table of the kit does too."""
    assert set(STATUSES) == set(CODES) == set(MESSAGES) == set(GRPC_CODES) == REASONS


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_a_sentence_is_in_its_language_and_complete_without_facts(reason: str) -> None:
    """Chinese is Chinese, English is English, both end as sentences, and no gap or bracket is left open."""
    zh, en = (MESSAGES[reason].told(locale, {}) for locale in ("zh-CN", "en"))
    assert CHINESE.search(zh)
    assert not CHINESE.search(en)
    assert zh.endswith("。")
    assert en.endswith(".")
    assert not re.search(r"[\[\]{}?]", zh + en)


def test_facts_fill_the_gaps_and_missing_ones_take_their_part_along() -> None:
    """A part in brackets is told whole or not at all."""
    sentence = Sentence("需要[ {needed} 而有 {available}]。", "Needs[ {needed} of {available}].")
    assert sentence.told("en", {"needed": "20", "available": "10"}) == "Needs 20 of 10."
    assert sentence.told("en", {"needed": "20"}) == "Needs."
    assert sentence.told("fr", {}) == "需要。"


def test_statuses_are_errors_and_the_public_numbers_are_the_enum() -> None:
    """No reason hides behind a success, and the code is the number in the contract."""
    assert all(400 <= status <= 599 for status in STATUSES.values())
    assert CODES["INSUFFICIENT_CREDITS"] == reason_pb2.REASON_INSUFFICIENT_CREDITS == 40003


def test_a_reason_of_a_newer_service_is_told_as_unknown() -> None:
    """A symbol outside the enum keeps the shape of the envelope."""
    caller = Caller("t" * 32, "en", "127.0.0.1", secure=False, request_id="", authorization="")
    body = failure_body(RemoteError("FROM_THE_FUTURE", "text"), caller)
    assert (body["code"], body["error"]) == (10000, "UNKNOWN_ERROR")
    assert failure_body(DomainError("x"), caller)["trace_id"] == "t" * 32
