"""Decisions as OFREP 0.3 (the OpenFeature Remote Evaluation Protocol) words them.

A flag is an experiment, its value and its variant are the arm's key. The reason is OpenFeature's; ours stands in the
metadata, with whether the unit is in the experiment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from reclift.domain.decision import Decision, Reason
from reclift.domain.events import MAX_ID

REASONS: Mapping[Reason, str] = {
    Reason.BUCKETED: "SPLIT",
    Reason.STICKY: "SPLIT",
    Reason.OVERRIDE: "TARGETING_MATCH",
    Reason.NOT_TARGETED: "DEFAULT",
    Reason.NOT_IN_TRAFFIC: "DEFAULT",
    Reason.LAYER: "DEFAULT",
    Reason.HOLDOUT: "DEFAULT",
    Reason.NOT_RUNNING: "DISABLED",
}
"""Our reason -> OpenFeature's."""

MAX_TARGETING_KEY = MAX_ID


class ErrorCode(StrEnum):
    """OFREP's error codes."""

    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
    PARSE_ERROR = "PARSE_ERROR"
    TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
    INVALID_CONTEXT = "INVALID_CONTEXT"
    GENERAL = "GENERAL"


class OfrepError(ValueError):
    """A request that cannot be evaluated: `code` for the client, the message for people."""

    def __init__(self, code: ErrorCode, details: str) -> None:
        """`details` names the field, the value and the rule."""
        super().__init__(details)
        self.code = code
        self.details = details


def read_context(body: Any) -> tuple[str, dict[str, Any]]:
    """The unit and its attributes out of a request's JSON: `{"context": {"targetingKey": UNIT, ATTRIBUTE: …}}`.

    Raises `OfrepError` when they are not there. A targeting key that is a number is taken as text, as SDKs hash it.
    """
    if not isinstance(body, Mapping):
        raise OfrepError(ErrorCode.PARSE_ERROR, "the body must be a JSON object with a context")
    context = body.get("context")
    if not isinstance(context, Mapping):
        raise OfrepError(ErrorCode.INVALID_CONTEXT, "context must be an object with a targetingKey")
    unit = context.get("targetingKey")
    if isinstance(unit, int) and not isinstance(unit, bool):
        unit = str(unit)
    if unit is None or unit == "":
        raise OfrepError(ErrorCode.TARGETING_KEY_MISSING, "context.targetingKey must be the user's id")
    if not isinstance(unit, str) or len(unit) > MAX_TARGETING_KEY:
        rule = f"context.targetingKey must be text of at most {MAX_TARGETING_KEY} characters"
        raise OfrepError(ErrorCode.INVALID_CONTEXT, rule)
    return unit, {key: value for key, value in context.items() if key != "targetingKey"}


def evaluation(decision: Decision) -> dict[str, Any]:
    """A decision as the answer to one flag's evaluation."""
    return {
        "key": decision.experiment,
        "reason": REASONS[decision.reason],
        "variant": decision.arm,
        "value": decision.arm,
        "metadata": {"in_experiment": decision.in_experiment, "reason": decision.reason.value},
    }


def bulk(decisions: Iterable[Decision]) -> dict[str, Any]:
    """Decisions as the answer to the evaluation of all flags."""
    return {"flags": [evaluation(decision) for decision in decisions]}


def failure(error: OfrepError, key: str | None = None) -> dict[str, Any]:
    """An error as a body; with `key` it is one flag's, without it the whole request's."""
    body: dict[str, Any] = {"errorCode": error.code.value, "errorDetails": error.details}
    return body if key is None else {"key": key, **body}


def not_found(key: str) -> dict[str, Any]:
    """The body for a flag that does not exist."""
    return failure(OfrepError(ErrorCode.FLAG_NOT_FOUND, f"experiment {key!r} does not exist"), key)
