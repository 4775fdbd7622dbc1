import pytest
from openfeature.flag_evaluation import Reason as OpenFeatureReason

from reclift.domain.decision import Decision, Reason
from reclift.domain.ofrep import REASONS, ErrorCode, OfrepError, bulk, evaluation, failure, not_found, read_context


def test_a_decision_becomes_an_evaluation():
    assert evaluation(Decision("home-recs", "item-cf", True, Reason.BUCKETED)) == {
        "key": "home-recs", "reason": "SPLIT", "variant": "item-cf", "value": "item-cf",
        "metadata": {"in_experiment": True, "reason": "bucketed"},
    }  # fmt: skip


def test_every_reason_has_one_that_openfeature_knows():
    assert REASONS.keys() == set(Reason)
    assert set(REASONS.values()) <= {reason.value for reason in OpenFeatureReason}
    assert REASONS[Reason.OVERRIDE] == "TARGETING_MATCH"
    assert REASONS[Reason.NOT_RUNNING] == "DISABLED"


def test_many_decisions_become_flags():
    decisions = [Decision("a", "x", True, Reason.STICKY), Decision("b", "y", False, Reason.LAYER)]
    assert [(flag["key"], flag["reason"]) for flag in bulk(decisions)["flags"]] == [("a", "SPLIT"), ("b", "DEFAULT")]


def test_the_context_is_unit_and_attributes():
    assert read_context({"context": {"targetingKey": "u1", "country": "CN"}}) == ("u1", {"country": "CN"})
    assert read_context({"context": {"targetingKey": 7}}) == ("7", {})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "PARSE_ERROR"),
        (None, "PARSE_ERROR"),
        ({}, "INVALID_CONTEXT"),
        ({"context": "u1"}, "INVALID_CONTEXT"),
        ({"context": {}}, "TARGETING_KEY_MISSING"),
        ({"context": {"targetingKey": ""}}, "TARGETING_KEY_MISSING"),
        ({"context": {"targetingKey": True}}, "INVALID_CONTEXT"),
        ({"context": {"targetingKey": ["u1"]}}, "INVALID_CONTEXT"),
        ({"context": {"targetingKey": "u" * 257}}, "INVALID_CONTEXT"),
    ],
)
def test_a_context_that_cannot_be_used_has_its_code(body, code):
    with pytest.raises(OfrepError) as caught:
        read_context(body)
    assert failure(caught.value) == {"errorCode": code, "errorDetails": caught.value.details}


def test_errors_of_one_flag_name_it():
    assert not_found("nope") == {
        "key": "nope", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "experiment 'nope' does not exist",
    }  # fmt: skip
    assert failure(OfrepError(ErrorCode.GENERAL, "x"), "a") == {"key": "a", "errorCode": "GENERAL", "errorDetails": "x"}
