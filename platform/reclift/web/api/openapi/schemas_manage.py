"""What people and automation send and get."""

from __future__ import annotations

from reclift.web.api.openapi.parts import (
    Json,
    anything,
    choice,
    closed,
    flag,
    key,
    many,
    maybe,
    number,
    obj,
    ref,
    text,
    when,
    whole,
)

_ARMS = [
    {"key": "control", "strategy": "popularity", "params": {}, "weight": 0.5, "control": True},
    {"key": "item-cf", "strategy": "item_cf", "params": {"k": 200}, "weight": 0.5},
]
_METRICS = {"primary": "ctr", "secondary": ["conversion", "revenue_per_user"], "guardrails": ["latency"]}
_CONDITION = anything("A condition on users' attributes, in GrowthBook's language; empty: everybody.")
_READ_ONLY = ("status", "phase", "source", "layer_range", "warnings", "version")
_TIMES = ("created_at", "updated_at", "started_at", "stopped_at")

_EXPERIMENT: dict[str, Json] = {
    "key": key("Its name in addresses, in code and for hashing; never changes."),
    "name": text("For people.", maxLength=200),
    "hypothesis": text("What you expect, and why.", maxLength=5_000),
    "kind": choice("How traffic is used.", "ab"),
    "placement": key("Where it runs."),
    "layer": maybe(key("Experiments of one layer exclude each other.")),
    "traffic": number("Share of all users who are to be in.", minimum=0, maximum=1),
    "audience": maybe(_CONDITION),
    "exclude": maybe(anything("A condition; who fulfils it (bots, staff) stays out.")),
    "overrides": {
        "type": "object",
        "description": "User id -> arm, for people who test; they do not enter the data.",
        "additionalProperties": {"type": "string"},
    },
    "sticky": flag("A user keeps the arm met first."),
    "arms": many(ref("Arm"), "Two to twenty; exactly one is the control.", minItems=2, maxItems=20),
    "metrics": ref("ExperimentMetrics"),
    "note": text("For people.", maxLength=20_000),
    "planned_days": maybe(whole("How long it is planned to run; null: no plan.", minimum=1, maximum=365)),
}
_SHOWN: dict[str, Json] = {
    "source": choice("Where its data come from.", "live", "replay", "imported"),
    "layer_range": {
        "type": ["array", "null"],
        "description": "The part of the layer it holds.",
        "items": {"type": "number"},
    },
    "status": choice("Where it is in its life.", "draft", "running", "paused", "stopped", "archived"),
    "phase": whole("Data of different phases never mix.", minimum=1),
    "version": whole("Grows with each change.", minimum=1),
    **{name: when("") for name in ("created_at", "updated_at")},
    **{name: maybe(when("null: not yet.")) for name in ("started_at", "stopped_at")},
}
_IGNORED: dict[str, Json] = {name: {"description": "Shown by the server; ignored."} for name in (*_READ_ONLY, *_TIMES)}
_EXPERIMENT_EXAMPLE = {
    "key": "home-recs",
    "name": "Neighbours on the home page",
    "hypothesis": "Neighbours are more relevant than what everybody likes.",
    "placement": "home",
    "layer": None,
    "traffic": 1.0,
    "audience": {"country": {"$in": ["CN", "US"]}},
    "arms": _ARMS,
    "metrics": _METRICS,
}
_STAMP = "2026-05-01T12:00:00.000Z"
_SHOWN_EXAMPLE = {
    **_EXPERIMENT_EXAMPLE,
    "kind": "ab",
    "source": "live",
    "layer_range": None,
    "exclude": {},
    "overrides": {},
    "sticky": False,
    "arms": [{"model": None, "control": False, **arm} for arm in _ARMS],
    "note": "",
    "planned_days": 14,
    "status": "draft",
    "phase": 1,
    "version": 1,
    "created_at": _STAMP,
    "updated_at": _STAMP,
    "started_at": None,
    "stopped_at": None,
}
_SOURCE = {
    "event": text("An event type, or `impression` for lists shown.", minLength=1, maxLength=64),
    "value": choice("What is added up; the last two only of impressions.", "count", "value", "latency_ms", "fallback"),
    "attributed": flag("Only events that carry the recommendation id of this experiment and arm."),
    "where": anything("Property -> value that an event must have."),
}
_METRIC: dict[str, Json] = {
    "key": key("Its name; a definition never changes."),
    "name": text("For people."),
    "kind": choice("How a unit's events become its number.", "proportion", "count", "sum", "ratio", "retention"),
    "numerator": ref("MetricSource"),
    "denominator": maybe(ref("MetricSource")),
    "window_hours": maybe(number("Only events so long after the exposure; null: no end.", minimum=0.001)),
    "cap": maybe(number("A unit counts for at most this.", minimum=0)),
    "cap_percentile": maybe(number("The same at a percentile of the units.", minimum=0.5, maximum=1)),
    "minimum": whole("Of a proportion: how many events make a 1.", minimum=1),
    "after_hours": number("Of retention: how long after exposure the return begins.", minimum=0),
    "direction": choice("Which way is better.", "increase", "decrease"),
    "margin": number("Of a guardrail: the relative worsening that is tolerated.", minimum=0, maximum=1),
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
    "fallback": many({"type": "string"}, "Strategies that fill up a short list, in this order."),
    "seen": choice("What is not shown again.", "bought", "interacted", "none"),
}
_HOME = {
    "key": "home",
    "name": "Home page",
    "strategy": "popularity",
    "params": {},
    "fallback": ["popularity"],
    "seen": "bought",
}


def listing(name: str, about: str) -> Json:
    """An object with one list."""
    field = {
        "AuditEntry": "audit",
        "Strategy": "strategies",
        "Model": "models",
    }.get(name, name.lower() + "s")
    return obj(about, {field: many(ref(name), about)})


SCHEMAS: dict[str, Json] = {
    "Arm": closed(
        "One variation of an experiment.",
        {
            "key": key("Its name."),
            "strategy": text("A strategy that is installed.", minLength=1),
            "params": anything("The strategy's parameters; the rest are its defaults."),
            "weight": number("Its share, relative to the other arms.", exclusiveMinimum=0),
            "control": flag("Whether others are compared with it."),
            "model": maybe(whole("A model version to stay with; null: the active one.", minimum=1)),
        },
        required=["key", "strategy"],
        example=_ARMS[1],
    ),
    "ExperimentMetrics": closed(
        "What decides, what else is looked at, and what must not get worse.",
        {
            "primary": text("The metric that decides.", minLength=1),
            "secondary": many({"type": "string", "minLength": 1}, "Looked at.", maxItems=50),
            "guardrails": many({"type": "string", "minLength": 1}, "Must not get worse.", maxItems=50),
        },
        required=["primary"],
        example=_METRICS,
    ),
    "ExperimentRequest": closed(
        "A new experiment. What the server adds when it shows one may come back, and is ignored.",
        {**_EXPERIMENT, **_IGNORED},
        required=["key", "placement", "arms"],
        example=_EXPERIMENT_EXAMPLE,
    ),
    "ExperimentChange": closed(
        "Fields to change. While it runs: name, hypothesis, traffic, metrics, note, planned_days and overrides.",
        {**_EXPERIMENT, **_IGNORED},
        example={"traffic": 0.5, "note": "Raised after the first week."},
    ),
    "Experiment": obj("An experiment as stored.", {**_EXPERIMENT, **_SHOWN}, example=_SHOWN_EXAMPLE),
    "ExperimentWithWarnings": obj(
        "An experiment, and what people should know.",
        {**_EXPERIMENT, **_SHOWN, "warnings": many({"type": "string"}, "Allowed, but worth knowing.")},
        example={**_SHOWN_EXAMPLE, "warnings": []},
    ),
    "MetricSource": closed("Which facts are counted.", _SOURCE, required=["event"], example={"event": "click"}),
    "MetricRequest": closed("A new metric.", _METRIC, required=["key", "kind", "numerator"], example=_WISHES),
    "Metric": obj("A metric with every default filled in.", _METRIC),
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
            "metrics": anything("Offline metrics."),
            "error": maybe(text("Why it is not ready.")),
        },
    ),
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
    "ExperimentList": listing("Experiment", "Experiments, newest first."),
    "MetricList": listing("Metric", "Metrics by key."),
    "PlacementList": listing("Placement", "Placements by key."),
    "StrategyList": listing("Strategy", "Strategies by key."),
    "ModelList": listing("Model", "Models, newest first."),
    "JobList": listing("Job", "Jobs, newest first."),
    "KeyList": listing("Key", "Keys, newest first."),
    "AuditList": listing("AuditEntry", "Changes, newest first."),
}
