"""Health and problem documents."""

from __future__ import annotations

from reclift.web.api.openapi.parts import (
    Json,
    choice,
    many,
    maybe,
    number,
    obj,
    ref,
    text,
    whole,
)
from reclift.web.problems import KINDS

SCHEMAS: dict[str, Json] = {
    "Live": obj("The process answers.", {"status": choice("Always ok.", "ok")}, example={"status": "ok"}),
    "Ready": obj(
        "Whether it can serve.",
        {
            "status": choice("degraded: decisions go on without the database.", "ok", "degraded"),
            "database": text("ok, or why it is away."),
            "plan": obj(
                "What it decides from.",
                {
                    "version": whole("The configuration's version."),
                    "age_seconds": maybe(number("Since it was known to be the newest.", minimum=0)),
                },
            ),
            "spool_bytes": whole("Waiting on disk.", minimum=0),
            "stream": obj(
                "The Redis stream of events, where Redis is set.",
                {
                    "status": text("ok, or why it is not used."),
                    "batches": whole("Waiting.", minimum=0),
                    "bytes": whole("Waiting.", minimum=0),
                    "lag_seconds": number("Age of the oldest that waits.", minimum=0),
                },
                required=["status"],
            ),
        },
        required=["status", "database", "plan", "spool_bytes"],
        example={
            "status": "ok",
            "database": "ok",
            "plan": {"version": 7, "age_seconds": 0.4},
            "spool_bytes": 0,
        },
    ),
    "NotReady": obj(
        "It cannot serve yet.",
        {"status": choice("", "not ready"), "database": text("ok, or why it is away."), "plan": text("Why.")},
        example={"status": "not ready", "database": "ok", "plan": "the database has not been set up"},
    ),
    "FieldError": obj(
        "One broken rule.",
        {
            "field": text("Where, with dots.", examples=["arms.1.weight"]),
            "value": {"description": "What stood there, shortened."},
            "rule": text("What would be right."),
        },
        example={"field": "user_id", "value": "None", "rule": "must be a string of 1 to 200 characters"},
    ),
    "Problem": obj(
        "An RFC 9457 problem document.",
        {
            "type": text("What kind, explained at /docs.", format="uri-reference"),
            "title": text("The kind in words.", examples=list(KINDS)),
            "status": whole("The HTTP status.", minimum=400, maximum=599),
            "detail": text("What is wrong here."),
            "errors": many(ref("FieldError"), "Each field that breaks a rule."),
        },
        required=["type", "title", "status", "detail"],
        example={
            "type": "/docs#problem-invalid-request",
            "title": "Invalid request",
            "status": 422,
            "detail": "user_id=None: must be a string of 1 to 200 characters",
            "errors": [{"field": "user_id", "value": "None", "rule": "must be a string of 1 to 200 characters"}],
        },
    ),
}
