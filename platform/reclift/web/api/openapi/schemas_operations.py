"""Metrics, placements, strategies, models, jobs, dead letters, keys and the audit log."""

from __future__ import annotations

from reclift.web.api.openapi.parts import (
    Json,
    anything,
    choice,
    closed,
    flag,
    key,
    listing,
    many,
    maybe,
    number,
    obj,
    pair,
    ref,
    text,
    when,
    whole,
)

_STAMP = "2026-05-01T12:00:00.000Z"
_SOURCE = {
    "event": text("An event type, or `impression` for lists shown.", minLength=1, maxLength=64),
    "value": choice(
        "What is added up; all but the first two only of impressions.",
        *("count", "value", "latency_ms", "fallback", "novelty", "diversity"),
    ),
    "position": maybe(whole("Only what was shown at this place of a list.", minimum=1, maximum=1000)),
    "attributed": flag("Only events that carry the recommendation id of this experiment and arm."),
    "where": anything("Property -> value that an event must have."),
}
_METRIC: dict[str, Json] = {
    "key": key("Its name; a definition never changes."),
    "name": text("For people."),
    "kind": choice(
        "How facts become a number; coverage is of an arm's lists together.",
        *("proportion", "count", "sum", "ratio", "retention", "quantile", "coverage"),
    ),
    "numerator": ref("MetricSource"),
    "denominator": maybe(ref("MetricSource")),
    "window_hours": maybe(number("Only events so long after the exposure; null: no end.", minimum=0.001)),
    "cap": maybe(number("A unit counts for at most this.", minimum=0)),
    "cap_percentile": maybe(number("The same at a percentile of the units.", minimum=0.5, maximum=1)),
    "minimum": whole("Of a proportion: how many events make a 1.", minimum=1),
    "after_hours": number("Of retention: how long after exposure the return begins.", minimum=0),
    "quantile": number("Of a quantile metric: 0.95 is the value that 95 % do not exceed.", minimum=0.01, maximum=0.99),
    "of": choice("Of a quantile metric: of each fact's value, or of each unit's total.", "facts", "units"),
    "direction": choice("Which way is better.", "increase", "decrease"),
    "margin": number("Of a guardrail: the relative worsening that is tolerated.", minimum=0, maximum=0.99),
    "format": choice("How people read it.", "percent", "number", "money", "ms"),
    "description": text("For people."),
}
_WISHES = {
    "key": "wishes",
    "name": "Wishes",
    "kind": "proportion",
    "numerator": {"event": "wish"},
    "window_hours": 24,
    "format": "percent",
}
_PLACEMENT: dict[str, Json] = {
    "key": key("Its name."),
    "name": text("For people.", maxLength=200),
    "strategy": text("What answers when no experiment decides."),
    "params": anything("Its parameters."),
    "fallback": many(
        {"oneOf": [text("With its default parameters."), ref("FallbackEntry")]},
        "Strategies that fill up a short list, in this order.",
    ),
    "seen": choice("What is not shown again.", "bought", "shown", "interacted", "none"),
    "rerank": maybe(ref("Rerank")),
    "explore": number("Share of the slots that new items get.", minimum=0, maximum=0.5),
}
_HOME: Json = {
    "key": "home",
    "name": "Home page",
    "strategy": "popularity",
    "params": {},
    "fallback": ["popularity"],
    "seen": "bought",
    "rerank": None,
    "explore": 0.0,
}


SCHEMAS: dict[str, Json] = {
    "MetricSource": closed("Which facts are counted.", _SOURCE, required=["event"], example={"event": "click"}),
    "MetricRequest": closed("A new metric.", _METRIC, required=["key", "kind", "numerator"], example=_WISHES),
    "Metric": obj("A metric with every default filled in.", _METRIC),
    "FallbackEntry": closed(
        "A strategy in a fallback chain, with parameters.",
        {"strategy": text("Its key."), "params": anything("Its parameters.")},
        required=["strategy"],
        example={"strategy": "popularity", "params": {"segment": "country"}},
    ),
    "PlacementRequest": closed(
        "A placement to make or change; what is not sent stays as it is.",
        {**_PLACEMENT, **{name: {"description": "Ignored."} for name in ("created_at", "updated_at")}},
        example={"strategy": "popularity", "fallback": ["popularity"], "seen": "bought"},
    ),
    "Placement": obj(
        "A place in the shop that shows recommendations.",
        {**_PLACEMENT, "created_at": when("Made."), "updated_at": when("Changed last.")},
        example={**_HOME, "created_at": _STAMP, "updated_at": _STAMP},
    ),
    "Strategy": obj(
        "A strategy that is installed.",
        {
            "strategy": text("Its key."),
            "title": text("For people."),
            "summary": text("When to choose it."),
            "error": maybe(text("Why it cannot be used; null: it can.")),
            "params": maybe(anything("JSON Schema of its parameters.")),
        },
    ),
    "TrainRequest": closed(
        "A model to train.",
        {"strategy": text("A strategy that is installed."), "params": maybe(anything("Its parameters."))},
        required=["strategy"],
        example={"strategy": "item_cf", "params": {"k": 200}},
    ),
    "Model": obj(
        "One trained version of a strategy with given parameters.",
        {
            "id": whole("For `activate`."),
            "model": text("Name and version.", examples=["item_cf@3"]),
            "strategy": text("Its strategy."),
            "version": whole("Counted by strategy.", minimum=1),
            "params": anything("All parameters."),
            "fingerprint": text("Tells sets of parameters apart."),
            "state": choice("Only a ready one can answer.", "training", "ready", "failed", "rejected", "removed"),
            "active": flag("Whether it answers now."),
            "created_at": when("Training began."),
            "trained_at": maybe(when("Training ended.")),
            "seconds": maybe(number("Training took.")),
            "data_until": maybe(when("The newest event it learnt from.")),
            "users": maybe(whole("Users learnt from.")),
            "items": maybe(whole("Items learnt from.")),
            "interactions": maybe(whole("Events learnt from.")),
            "size_bytes": maybe(whole("Of its artifact.")),
            "metrics": anything(
                "What it found of what a sample of users chose last; or `reason`: why it was not measured. "
                "`search recall@10` and the like: what an approximate search finds of the exact answer."
            ),
            "error": maybe(text("Why it is not ready, or does not answer.")),
        },
    ),
    "EvaluationRequest": closed(
        "What to evaluate.",
        {
            "strategies": maybe(many({"type": "string"}, "With their defaults; none: everything that is in use.")),
            "split": maybe(
                choice(
                    "Find the last fifth of time, or what each user chose last.",
                    *("temporal", "leave-last-out"),
                    default="temporal",
                )
            ),
            "fallback": maybe(text("Fills short lists. Left out: as on most placements; null: they stay short.")),
        },
        example={"strategies": ["popularity", "item_cf"], "split": "temporal"},
    ),
    "EvaluationResult": obj(
        "One strategy.",
        {
            "name": text("In this table."),
            "strategy": text("Its key."),
            "params": anything("All parameters."),
            "metrics": anything("Length of list -> metric -> `value`, `interval`, `users`, `reason`."),
            "by_history": many(anything("`history`: first and last length."), "The primary metric by length."),
            "fit_seconds": number("Training took."),
            "answer_ms": number("An answer took, on average."),
            "own_share": number("Share of the places that it filled itself.", minimum=0, maximum=1),
            "online": many(
                obj(
                    "An arm that shows it.",
                    {
                        "experiment": key("The experiment."),
                        "arm": key("The arm."),
                        "metric": text("The primary metric."),
                        "against": text("The control's strategy."),
                        "lift": number("Relative."),
                        "lift_ci": pair("Its interval."),
                        "offline_lift": maybe(number("The same of the primary offline metric; null: not known.")),
                    },
                ),
                "Online lifts.",
            ),
        },
    ),
    "Evaluation": obj(
        "An offline evaluation.",
        {
            "id": whole("Its number."),
            "computed_at": when("Computed."),
            "split": anything("What was learnt from, and what was to be found."),
            "primary": text("The metric that is compared."),
            "primary_k": whole("At this length of list.", minimum=1),
            "level": number("Of the intervals."),
            "methods": anything("How intervals and p-values were computed."),
            "fallback": maybe(text("What filled short lists.")),
            "results": many(ref("EvaluationResult"), "By strategy."),
            "comparisons": many(anything("`second` minus `first`."), "Every pair of strategies."),
        },
    ),
    "EvaluationList": listing("evaluations", "Evaluation", "Newest first."),
    "Job": obj(
        "Work for the worker.",
        {
            "id": whole("Its number."),
            "task": text("What.", examples=["train"]),
            "arguments": anything("On what."),
            "state": choice("How far.", "queued", "running", "done", "failed"),
            "actor": text("Who asked."),
            "queued_at": when("Asked for."),
            "started_at": maybe(when("Begun.")),
            "finished_at": maybe(when("Ended.")),
            "seconds": maybe(number("Took.")),
            "progress": number("Share done.", minimum=0, maximum=1),
            "message": text("In words."),
            "error": maybe(text("Why it failed.")),
        },
    ),
    "DeadLetter": obj(
        "A fact, or a batch nobody can read, that cannot be written.",
        {
            "id": whole("Its number."),
            "at": when("Given up."),
            "source": text("Where it came from.", examples=["stream", "spool"]),
            "reason": text("Why it cannot be written."),
            "payload": text("What came; the first 10,000 characters."),
            "bytes": whole("How large it is."),
        },
    ),
    "DeadLetterList": obj(
        "Dead letters, newest first.",
        {"dead_letters": many(ref("DeadLetter"), "The newest."), "total": whole("How many there are.")},
    ),
    "DeadLetterReplayed": obj(
        "It is in the tables.",
        {"id": whole("The letter that is gone."), "accepted": whole("Facts that were new.")},
    ),
    "KeyRequest": closed(
        "A new API key.",
        {
            "name": text("Whose it is.", minLength=1, maxLength=200),
            "scopes": many(
                choice("What it may do.", "shop", "replay", "client", "read", "manage"), "At least one.", minItems=1
            ),
        },
        required=["name", "scopes"],
        example={"name": "Shop server", "scopes": ["shop"]},
    ),
    "NewKey": obj(
        "The key, shown only here: only its digest is kept.",
        {
            "id": whole("Its number."),
            "name": text("As sent."),
            "scopes": many({"type": "string"}, "As sent."),
            "key": text("The secret."),
        },
        example={"id": 3, "name": "Shop server", "scopes": ["shop"], "key": "rl_…"},
    ),
    "Key": obj(
        "A key without its secret.",
        {
            "id": whole("Its number."),
            "name": text("Whose it is."),
            "prefix": text("How the secret begins."),
            "scopes": many({"type": "string"}, "What it may do."),
            "created_at": when("Made."),
            "created_by": text("By whom."),
            "revoked_at": maybe(when("Switched off; null: it works.")),
        },
    ),
    "AuditEntry": obj(
        "One change. Only what differs is kept of before and after.",
        {
            "id": whole("Its number."),
            "at": when("When."),
            "actor": text("Who."),
            "action": text("What."),
            "kind": text("To what kind of thing."),
            "subject": text("To which."),
            "before": maybe(anything("What was.")),
            "after": maybe(anything("What is.")),
        },
    ),
    "MetricList": listing("metrics", "Metric", "Metrics by key."),
    "PlacementList": listing("placements", "Placement", "Placements by key."),
    "StrategyList": listing("strategies", "Strategy", "Strategies by key."),
    "ModelList": listing("models", "Model", "Models, newest first."),
    "JobList": listing("jobs", "Job", "Jobs, newest first."),
    "KeyList": listing("keys", "Key", "Keys, newest first."),
    "AuditList": listing("audit", "AuditEntry", "Changes, newest first."),
}
