"""Reports and power. Both may grow: their objects are open."""

from __future__ import annotations

from reclift.web.api.openapi.parts import (
    Json,
    anything,
    choice,
    flag,
    many,
    maybe,
    number,
    ref,
    text,
    when,
    whole,
)
from reclift.web.api.openapi.schemas_comparison import PROBABILITY, REASONS, open_object

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
    "ReportMetric": open_object(
        "One metric.",
        {
            "metric": text("Its key."),
            "role": choice("Its role.", "primary", "secondary", "guardrail"),
            "kind": choice("What compares the arms.", "proportion", "mean", "ratio", "quantile", "coverage"),
            "quantile": maybe(number("Which quantile; null: another kind.", **PROBABILITY)),
            "coverage": maybe(
                open_object(
                    "Of a coverage metric: how it was read; null: another kind.",
                    {
                        "units": maybe(whole("At so many units of each arm; null: no arm can be.", minimum=1)),
                        "catalogue": whole("Available items.", minimum=0),
                    },
                )
            ),
            "arms": many(
                open_object(
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
        required=["metric", "role", "kind", "quantile", "arms", "comparisons"],
    ),
    "Report": open_object(
        "The lift report.",
        {
            "experiment": text("Its key."),
            "computed_at": when("Computed."),
            "data_until": maybe(when("The newest fact in it; null: none.")),
            "srm": ref("Srm"),
            "arms": many(
                open_object(
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
            "decision": open_object(
                "The verdict, in words.",
                {
                    "call": choice("What to do.", "ship", "keep_control", "keep_running", "invalid"),
                    "because": many({"type": "string"}, "Why."),
                },
            ),
            "trust": many(
                open_object(
                    "A check.",
                    {
                        "check": text("Which."),
                        "ok": maybe(flag("Passed.")),
                        "text": text("In words."),
                        "breakdown": open_object(
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
                open_object(
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
            "segment_test": open_object(
                "With `?segment=`: whether the lift differs between values, and how many were looked at.",
                {
                    "attribute": text("The attribute."),
                    "looked_at": whole("Values read; p-values are corrected for them.", minimum=0),
                    "not_looked_at": whole("Rarer values, not read.", minimum=0),
                    "arms": many(
                        open_object(
                            "One arm.",
                            {
                                "arm": text("The arm."),
                                "p_value": maybe(number("Of the lift being the same for all values.", **PROBABILITY)),
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
                open_object(
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
                open_object(
                    "What the primary metric still needs, from the units so far (with CUPED's gain where it is used).",
                    {
                        "metric": text("Its key."),
                        "effect": number("The lift to find; `stated`: as the experiment's smallest worth having."),
                        "stated": flag("Whether the experiment names it."),
                        "planned_days": maybe(whole("As planned at the start.")),
                        "arms": many(
                            open_object(
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
                                    "reasons": REASONS,
                                },
                            ),
                            "Each arm but the control.",
                        ),
                    },
                )
            ),
            "novelty": maybe(
                open_object(
                    "The primary metric's lift by days since the unit's exposure.",
                    {
                        "metric": text("Its key."),
                        "arms": many(
                            open_object(
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
    "Power": open_object(
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
            "history": open_object(
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
            "units_by_arm": maybe(many(whole("Units.", minimum=2), "The same by arm, the control first.")),
            "days": maybe(whole("Until they are in.", minimum=1)),
            "planned_days": maybe(whole("The same in whole weeks.", minimum=7)),
            "by_days": many(anything("`days`, `units`, `effect`: the smallest lift that is found."), "By duration."),
            "reasons": REASONS,
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
            "units_by_arm": [47007, 47007],
            "days": 41,
            "planned_days": 42,
            "by_days": [{"days": 7, "units": 15800, "effect": 0.122}],
            "reasons": {},
        },
    ),
}
