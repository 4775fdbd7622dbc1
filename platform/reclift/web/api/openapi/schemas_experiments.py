"""Experiments, and how their traffic is split."""

from __future__ import annotations

from reclift.domain.analysis import Analysis
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

_ARMS = [
    {"key": "control", "strategy": "popularity", "params": {}, "weight": 0.5, "control": True},
    {"key": "item-cf", "strategy": "item_cf", "params": {"k": 200}, "weight": 0.5},
]
_METRICS = {"primary": "ctr", "secondary": ["conversion", "revenue_per_user"], "guardrails": ["latency"]}
_CONDITION = anything("A condition on users' attributes, in GrowthBook's language; empty: everybody.")
_READ_ONLY = (
    *("status", "phase", "source", "layer_range", "warnings", "version"),
    *("ramp", "ramp_stopped", "phases", "weight_changes"),
)
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
    "analysis": ref("Analysis"),
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
    "kind": choice("A holdout is made under /api/v1/holdouts.", "ab", "holdout"),
    "placement": maybe(text("Where it runs; null: everywhere, for a holdout.", maxLength=64)),
    "ramp": many(ref("RampStep"), "Traffic by schedule; empty: none."),
    "ramp_stopped": {"description": "Why the ramp stopped; null: it has not."},
    "phases": many(anything("An earlier phase."), "Earlier phases."),
    "weight_changes": many(anything("A change."), "Of a sticky experiment."),
    "phase": whole("Data of different phases never mix.", minimum=1),
    "version": whole("Grows with each change.", minimum=1),
    **{name: when("") for name in ("created_at", "updated_at")},
    **{name: maybe(when("null: not yet.")) for name in ("started_at", "stopped_at")},
}
_WEIGHTS = {
    "type": "object",
    "description": "Arm -> weight, for every arm.",
    "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
}
_GROUP: dict[str, Json] = {
    "name": text("For people.", maxLength=200),
    "values": maybe(many({"type": ["string", "number"]}, "Users, or values of `attribute`.", maxItems=5_000)),
    "attribute": maybe(text("What the values are of; null: the user's id.", minLength=1, maxLength=64)),
    "condition": maybe(anything("A condition on users' attributes.")),
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
    "analysis": Analysis().to_dict(),
    "ramp": [],
    "ramp_stopped": None,
    "phases": [],
    "weight_changes": [],
    "status": "draft",
    "phase": 1,
    "version": 1,
    "created_at": _STAMP,
    "updated_at": _STAMP,
    "started_at": None,
    "stopped_at": None,
}
SCHEMAS: dict[str, Json] = {
    "Rerank": closed(
        "Makes lists more varied, whatever strategy ranked them.",
        {
            "balance": number("0: the strategy's order, 1: nothing but variety.", minimum=0, maximum=1, default=0),
            "category_cap": maybe(
                whole("At most so many of one category, where others are there.", minimum=1, maximum=1_000)
            ),
        },
        example={"balance": 0.3, "category_cap": 3},
    ),
    "Arm": closed(
        "One variation of an experiment.",
        {
            "key": key("Its name."),
            "strategy": text("A strategy that is installed; empty in a holdout.", maxLength=200),
            "params": anything("The strategy's parameters; the rest are its defaults."),
            "weight": number("Its share, relative to the other arms.", exclusiveMinimum=0),
            "control": flag("Whether others are compared with it."),
            "model": maybe(whole("A model version to stay with; null: the active one.", minimum=1)),
            "rerank": maybe(ref("Rerank")),
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
    "ExperimentList": listing("experiments", "Experiment", "Experiments, newest first."),
    "RampStep": closed(
        "A step of a ramp.",
        {
            "traffic": number("Share of all users from then on.", minimum=0, maximum=1),
            "after_hours": number("Since the start; the first step's is 0.", minimum=0),
        },
        required=["traffic", "after_hours"],
        example={"traffic": 0.01, "after_hours": 0},
    ),
    "RampRequest": closed(
        "The whole plan.",
        {"steps": many(ref("RampStep"), "Each later and larger than the one before.", maxItems=20)},
        required=["steps"],
        example={"steps": [{"traffic": 0.01, "after_hours": 0}, {"traffic": 0.5, "after_hours": 48}]},
    ),
    "PhaseRequest": closed(
        "How the next phase splits users.",
        {
            "weights": _WEIGHTS,
            "traffic": number("Share of all users.", minimum=0, maximum=1),
            "note": {"description": "Why, for people."},
        },
        required=["weights"],
        example={"weights": {"control": 0.2, "item-cf": 0.8}, "note": "Most to the new one."},
    ),
    "WeightsRequest": closed(
        "Weights of every arm.",
        {"weights": _WEIGHTS},
        required=["weights"],
        example={"weights": {"control": 0.2, "item-cf": 0.8}},
    ),
    "PreviewRequest": closed("What to show.", {"arm": key("An arm.")}, required=["arm"], example={"arm": "item-cf"}),
    "PreviewToken": obj(
        "A token for the shop's addresses.",
        {
            "experiment": key("The experiment."),
            "arm": key("The arm."),
            "token": text("Signed; not secret, but whoever has it sees the arm."),
            "valid_days": whole("How long it holds."),
            "parameter": text("The field of /assign and /recommend that takes it."),
        },
        example={
            "experiment": "home-recs",
            "arm": "item-cf",
            "token": "WyJob21lLXJlY3MiLCJpdGVtLWNmIl0.afRm.x",
            "valid_days": 14,
            "parameter": "preview",
        },
    ),
    "GroupRequest": closed(
        "Either `values` or `condition`.",
        {**_GROUP, **{name: {"description": "Ignored."} for name in ("key", "size", "created_at", "updated_at")}},
        example={"name": "Staff", "values": ["u1", "u2"]},
    ),
    "Group": obj(
        "A saved group.",
        {
            "key": key("Its name in conditions."),
            **_GROUP,
            "size": maybe(whole("How many values.", minimum=0)),
            "created_at": when("Made."),
            "updated_at": when("Changed last."),
        },
        example={
            "key": "staff",
            "name": "Staff",
            "values": ["u1", "u2"],
            "attribute": None,
            "condition": None,
            "size": 2,
            "created_at": _STAMP,
            "updated_at": _STAMP,
        },
    ),
    "GroupList": listing("groups", "Group", "Groups by key."),
    "HoldoutRequest": closed(
        "A new holdout.",
        {
            "key": key("Its name; no experiment may have the same."),
            "name": text("For people.", maxLength=200),
            "placement": maybe(key("Where it holds; null: everywhere.")),
            "share": number(
                "Share of users who are held out; fixed once it has started.", exclusiveMinimum=0, maximum=0.5
            ),
            "metrics": maybe(ref("ExperimentMetrics")),
            "note": text("For people."),
        },
        required=["key", "share"],
        example={"key": "holdout-2026", "share": 0.05, "placement": None},
    ),
    "Layer": obj(
        "A layer: its experiments exclude each other.",
        {
            "layer": key("Its key."),
            "slots": many(
                obj(
                    "What an experiment holds.",
                    {"experiment": key("Which."), "start": number("From."), "end": number("To, exclusive.")},
                ),
                "Who holds what, of 0 to 1.",
            ),
            "free": many(pair("A free part."), "What is free."),
            "free_share": number("How much is free.", minimum=0, maximum=1),
        },
        example={
            "layer": "home",
            "slots": [{"experiment": "home-recs", "start": 0.0, "end": 0.5}],
            "free": [[0.5, 1.0]],
            "free_share": 0.5,
        },
    ),
    "LayerList": listing("layers", "Layer", "Layers by key."),
}
