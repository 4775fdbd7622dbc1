"""Reports, health and problem documents. Reports may grow: their objects are open."""

from __future__ import annotations

from typing import Any

from reclift.domain.analysis import Analysis
from reclift.web.api.openapi.parts import (
    Json,
    anything,
    choice,
    closed,
    flag,
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
from reclift.web.problems import KINDS


def _open(about: str, properties: dict[str, Json], example: Any = None, required: list[str] | None = None) -> Json:
    return obj(about, properties, required=required, example=example, additionalProperties=True)


_PROBABILITY = {"minimum": 0, "maximum": 1}
_REASONS = {
    "type": "object",
    "description": "Field -> why it could not be computed.",
    "additionalProperties": ref("Reason"),
}
_EXAMPLE = {
    "experiment": "home-recs",
    "computed_at": "2026-05-01T12:00:00.000Z",
    "data_until": "2026-05-01T11:59:58.000Z",
    "srm": {"observed": [100, 120], "expected": [110.0, 110.0], "p_value": 0.17, "ok": True},
    "arms": [
        {"arm": "control", "control": True, "units": 100, "impressions": 900},
        {"arm": "item-cf", "control": False, "units": 120, "impressions": 1070},
    ],
    "metrics": [
        {
            "metric": "ctr",
            "role": "primary",
            "kind": "ratio",
            "quantile": None,
            "arms": [
                {"arm": "control", "units": 100, "mean": 0.031, "std_error": 0.002},
                {"arm": "item-cf", "units": 120, "mean": 0.035, "std_error": 0.002},
            ],
            "comparisons": [
                {
                    "arm": "item-cf",
                    "control": "control",
                    "lift": 0.12,
                    "lift_ci": [0.01, 0.23],
                    "difference": 0.004,
                    "difference_ci": [0.0003, 0.007],
                    "p_value": 0.03,
                    "p_value_adjusted": 0.05,
                    "ci_level": 0.95,
                    "sequential": {"p_value": 0.08, "lift_ci": [-0.02, 0.26]},
                    "bayesian": {"chance_to_win": 0.98, "expected_loss": 0.0002},
                    "variance_reduction": None,
                    "warnings": [],
                }
            ],
        }
    ],
    "decision": {"call": "keep_running", "because": ["Day 3 of 14 planned."]},
}

SCHEMAS: dict[str, Json] = {
    "Analysis": closed(
        "How the numbers are read; chosen before the start. What is left out is as in the example.",
        {
            "regime": choice(
                "fixed: once, at the planned end; sequential: at any time; group_sequential: at `looks` looks.",
                *("fixed", "sequential", "group_sequential"),
            ),
            "looks": whole("Of a group-sequential design.", minimum=2, maximum=50),
            "family": choice("How it spends its false positives.", "obrien_fleming", "power"),
            "rho": number("Of the power family.", minimum=0.5, maximum=10),
            "level": number("Of intervals.", minimum=0.5, maximum=0.999),
            "cuped": flag("Let values before exposure take variance out."),
            "minimum_effect": maybe(number("Smallest lift worth having.", minimum=0.0001, maximum=10)),
            "tuning": whole("Units at which the always-valid interval is tightest.", minimum=10, maximum=10**9),
            "stratify": maybe(text("Compare like with like by this attribute; not with `cuped`.", maxLength=64)),
            "prior_mean": number("Of the relative lift, before the data.", minimum=-1, maximum=10),
            "prior_sd": maybe(number("Likewise; null: every lift equally likely.", minimum=0.0001, maximum=10)),
            "rate_prior_alpha": number("Of each arm's rate, a beta prior.", minimum=0.001, maximum=10**6),
            "rate_prior_beta": number("Likewise.", minimum=0.001, maximum=10**6),
            "bootstrap": whole(
                "Resamples of a bootstrap beside the formulas; 0: none, else from 200.", minimum=0, maximum=10_000
            ),
            "bootstrap_seed": whole("Of its random numbers.", minimum=0, maximum=2**31 - 1),
        },
        example=Analysis().to_dict(),
    ),
    "Reason": obj(
        "Why a number is missing.",
        {"code": text("For programs."), "text": text("For people.")},
        example={"code": "zero_variance", "text": "No unit differs from another in its arm."},
    ),
    "Srm": _open(
        "The sample ratio: whether the arms are as large as planned. Read it first.",
        {
            "observed": many({"type": "integer"}, "Units by arm."),
            "expected": many({"type": "number"}, "Planned units by arm."),
            "p_value": maybe(number("Of the split being as planned; null: no units.", **_PROBABILITY)),
            "ok": maybe(flag("false: trust nothing below; null: it cannot be said.")),
        },
    ),
    "Sequential": _open(
        "The reading that stays valid however often you look.",
        {"p_value": maybe(number("Always valid.", **_PROBABILITY)), "lift_ci": pair("Always-valid interval.")},
    ),
    "Bayesian": _open(
        "The reading under a stated prior.",
        {
            "chance_to_win": maybe(number("That the arm is better than the control.", **_PROBABILITY)),
            "expected_loss": maybe(number("What choosing it costs if it is worse, relative to the control.")),
            "lift_ci": pair("Credible interval of the lift."),
            "prior": text("What was believed before the data."),
            "model": text("Of the data."),
        },
    ),
    "Comparison": _open(
        "One arm against the control. null: cannot be computed, `reasons` says why.",
        {
            "arm": text("The arm."),
            "control": text("The control."),
            "lift": maybe(number("Relative: 0.12 = +12 %.")),
            "lift_ci": pair("Of the lift, by the delta method."),
            "lift_ci_fieller": pair("By Fieller's method, where the control's mean is weak; null elsewhere."),
            "lift_std_error": maybe(number("By the delta method.")),
            "difference": maybe(number("Absolute.")),
            "difference_ci": pair("Of the difference."),
            "p_value": maybe(number("Two-sided, of no difference.", **_PROBABILITY)),
            "p_value_adjusted": maybe(number("Corrected for how many were looked at.", **_PROBABILITY)),
            "std_error": maybe(number("Of the difference.")),
            "ci_level": number("Of all intervals.", **_PROBABILITY),
            "method": text("How it was read: estimator, adjustment, or the exact one of few successes."),
            "detectable_lift": maybe(number("The lift that these data would find 4 times in 5.")),
            "sequential": maybe(ref("Sequential")),
            "bayesian": maybe(ref("Bayesian")),
            "variance_reduction": maybe(
                number("Share of the variance that CUPED or strata took away; null: not used.")
            ),
            "group_sequential": maybe(
                _open(
                    "The repeated interval of the latest planned look; null: another regime.",
                    {
                        "look": maybe(whole("The latest that was reached; null: none yet.", minimum=1)),
                        "looks": whole("Planned.", minimum=2),
                        "bound": maybe(number("Standard errors that its interval reaches.")),
                        "nominal_alpha": maybe(number("The level that p is held against.", **_PROBABILITY)),
                        "difference_ci": pair("Of the difference; all looks' together hold at `ci_level`."),
                        "lift_ci": pair("Of the lift, likewise."),
                        "reasons": _REASONS,
                    },
                )
            ),
            "bootstrap": maybe(
                _open(
                    "A cross-check of the formulas' intervals; null: not asked for.",
                    {
                        "difference_ci": pair("Percentiles of the resampled differences."),
                        "difference_std_error": maybe(number("Their standard deviation.")),
                        "lift_ci": pair("Of the lift."),
                        "draws": whole("Resamples.", minimum=200),
                        "seed": whole("Of the random numbers.", minimum=0),
                        "groups": whole("Groups of units that are drawn, at most.", minimum=0),
                        "method": text("In words."),
                        "reasons": _REASONS,
                    },
                )
            ),
            "warnings": many({"type": "string"}, "What a reader should know."),
            "warning_codes": many({"type": "string"}, "The same for programs."),
            "reasons": _REASONS,
        },
        required=[
            *("arm", "control", "lift", "lift_ci", "difference", "difference_ci", "p_value", "p_value_adjusted"),
            *("ci_level", "sequential", "bayesian", "variance_reduction", "warnings"),
        ],
    ),
    "ReportMetric": _open(
        "One metric.",
        {
            "metric": text("Its key."),
            "role": choice("Its role.", "primary", "secondary", "guardrail"),
            "kind": choice("What compares the arms.", "proportion", "mean", "ratio", "quantile"),
            "quantile": maybe(number("Which quantile; null: another kind.", **_PROBABILITY)),
            "arms": many(
                _open(
                    "One arm.",
                    {
                        "arm": text("The arm."),
                        "units": whole("Units that count.", minimum=0),
                        "mean": maybe(number("Mean, share or ratio.")),
                        "std_error": maybe(number("Its standard error.")),
                    },
                ),
                "Its level in each arm.",
            ),
            "comparisons": many(ref("Comparison"), "Each arm against the control."),
        },
    ),
    "Report": _open(
        "The lift report.",
        {
            "experiment": text("Its key."),
            "computed_at": when("Computed."),
            "data_until": maybe(when("The newest fact in it; null: none.")),
            "srm": ref("Srm"),
            "arms": many(
                _open(
                    "An arm.",
                    {
                        "arm": text("The arm."),
                        "control": flag("Whether it is the control."),
                        "units": whole("Units that met this arm only.", minimum=0),
                        "impressions": whole("Lists they saw.", minimum=0),
                    },
                ),
                "The arms.",
            ),
            "metrics": many(ref("ReportMetric"), "The primary metric first."),
            "decision": _open(
                "The verdict, in words.",
                {
                    "call": choice("What to do.", "ship", "keep_control", "keep_running", "invalid"),
                    "because": many({"type": "string"}, "Why."),
                },
            ),
            "trust": many(
                _open(
                    "A check.",
                    {
                        "check": text("Which."),
                        "ok": maybe(flag("Passed.")),
                        "text": text("In words."),
                        "breakdown": _open(
                            "Of a split that is broken somewhere: day by day, or value by value of an attribute.",
                            {
                                "by": text("`day`, or the attribute."),
                                "parts": many(
                                    anything("`name`, `observed`, `expected`, `p_value`, `p_adjusted`, `suspect`."),
                                    "Each day or value.",
                                ),
                            },
                        ),
                    },
                    required=["check", "ok", "text"],
                ),
                "Checks that come before any lift.",
            ),
            "multi_arm_units": whole("Units that met several arms; left out.", minimum=0),
            "series": anything("Metric -> cumulative lift by day."),
            "segments": many(
                _open(
                    "Units that share a value.",
                    {
                        "attribute": text("The attribute."),
                        "value": text("Its value."),
                        "units": whole("How many."),
                        "metrics": many(ref("ReportMetric"), "The primary metric."),
                    },
                ),
                "With `?segment=`: the primary metric by value.",
            ),
            "segment_test": _open(
                "With `?segment=`: whether the lift differs between values, and how many were looked at.",
                {
                    "attribute": text("The attribute."),
                    "looked_at": whole("Values read; p-values are corrected for them.", minimum=0),
                    "not_looked_at": whole("Rarer values, not read.", minimum=0),
                    "arms": many(
                        _open(
                            "One arm.",
                            {
                                "arm": text("The arm."),
                                "p_value": maybe(number("Of the lift being the same for all values.", **_PROBABILITY)),
                                "q": maybe(number("Cochran's statistic.", minimum=0)),
                                "df": whole("Its degrees of freedom.", minimum=0),
                                "scale": choice("What was compared.", "lift", "difference"),
                            },
                        ),
                        "The interaction test of each arm.",
                    ),
                    "text": text("In words."),
                },
            ),
            "alerts": many(
                _open(
                    "Something to look at, by a rule that holds under any number of looks.",
                    {
                        "kind": choice("Which.", "sample_ratio", "guardrail", "significance", "stale"),
                        "subject": text("A metric and an arm; empty: the whole experiment."),
                        "text": text("In words."),
                    },
                ),
                "What people are told, where a webhook or mail is set up.",
            ),
            "power": maybe(
                _open(
                    "What the primary metric still needs, from the units so far (with CUPED's gain where it is used).",
                    {
                        "metric": text("Its key."),
                        "effect": number("The lift to find; `stated`: as the experiment's smallest worth having."),
                        "stated": flag("Whether the experiment names it."),
                        "planned_days": maybe(whole("As planned at the start.")),
                        "arms": many(
                            _open(
                                "One arm against the control.",
                                {
                                    "arm": text("The arm."),
                                    "units": maybe(whole("Needed in both arms.")),
                                    "days": maybe(whole("From the first day until they are in.")),
                                    "effect_now": maybe(number("The lift that today's units find 4 times in 5.")),
                                    "effect_at_end": maybe(number("The same at the planned end.")),
                                    "gain": maybe(
                                        number("Share of the variance that CUPED or strata take; null: none.")
                                    ),
                                    "units_without": maybe(whole("Needed without them.")),
                                    "cuped_gain": maybe(number("Share that CUPED takes, or would take.")),
                                    "reasons": _REASONS,
                                },
                            ),
                            "Each arm but the control.",
                        ),
                    },
                )
            ),
            "novelty": maybe(
                _open(
                    "The primary metric's lift by days since the unit's exposure.",
                    {
                        "metric": text("Its key."),
                        "arms": many(
                            _open(
                                "One arm.",
                                {
                                    "arm": text("The arm."),
                                    "days": many(anything("`day`, `units`, `lift`, `lift_ci`."), "By day."),
                                    "trend": anything("`slope`, `p_value`, `shape`, `sentence`."),
                                },
                            ),
                            "Each arm but the control.",
                        ),
                    },
                )
            ),
        },
        required=["experiment", "computed_at", "data_until", "srm", "arms", "metrics", "decision"],
        example=_EXAMPLE,
    ),
    "Power": _open(
        "What an experiment needs, from the placement's past.",
        {
            "placement": text("Where."),
            "metric": text("Of this metric."),
            "arms": whole("With the control.", minimum=2),
            "effect": number("Relative lift to find."),
            "traffic": number("Share of units that come in."),
            "level": number("1 less the false positive rate."),
            "power": number("Probability of finding it."),
            "regime": choice("How it will be read.", "fixed", "sequential"),
            "history": _open(
                "What it rests on.",
                {
                    "from": maybe(when("The first list in the period.")),
                    "until": maybe(when("The newest list of the placement.")),
                    "units": whole("Units that were shown something.", minimum=0),
                    "units_read": whole("Of them, those whose facts were read.", minimum=0),
                    "mean": maybe(number("The metric's level.")),
                    "std_dev": maybe(number("Of a unit.")),
                },
            ),
            "units": maybe(whole("Needed in all arms.", minimum=4)),
            "units_per_arm": maybe(whole("Needed in each arm.", minimum=2)),
            "days": maybe(whole("Until they are in.", minimum=1)),
            "planned_days": maybe(whole("The same in whole weeks.", minimum=7)),
            "by_days": many(anything("`days`, `units`, `effect`: the smallest lift that is found."), "By duration."),
            "reasons": _REASONS,
        },
        example={
            "placement": "home",
            "metric": "ctr",
            "arms": 2,
            "effect": 0.05,
            "traffic": 1.0,
            "level": 0.95,
            "power": 0.8,
            "regime": "fixed",
            "history": {
                "from": "2026-04-03T08:00:00.000Z",
                "until": "2026-05-01T07:59:58.000Z",
                "units": 41200,
                "units_read": 20000,
                "mean": 0.031,
                "std_dev": 0.12,
            },
            "units": 94014,
            "units_per_arm": 47007,
            "days": 41,
            "planned_days": 42,
            "by_days": [{"days": 7, "units": 15800, "effect": 0.122}],
            "reasons": {},
        },
    ),
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
