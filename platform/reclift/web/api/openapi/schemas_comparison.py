"""How one arm is read against the control, and what may be chosen of it."""

from __future__ import annotations

from typing import Any

from reclift.domain.analysis import CORRECTIONS, Analysis
from reclift.web.api.openapi.parts import (
    Json,
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
    whole,
)


def open_object(
    about: str, properties: dict[str, Json], example: Any = None, required: list[str] | None = None
) -> Json:
    """An object that may grow."""
    return obj(about, properties, required=required, example=example, additionalProperties=True)


PROBABILITY = {"minimum": 0, "maximum": 1}
REASONS = {
    "type": "object",
    "description": "Field -> why it could not be computed.",
    "additionalProperties": ref("Reason"),
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
            "cuped_days": maybe(
                whole(
                    "Days before its exposure that are a unit's past; null: the metric's window.", minimum=1, maximum=90
                )
            ),
            "correction_primary": choice(
                "How the primary metric's comparisons are corrected for being several; none: the report warns.",
                *CORRECTIONS,
            ),
            "correction_secondary": choice("Likewise, of the secondary metrics.", *CORRECTIONS),
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
    "Srm": open_object(
        "The sample ratio: whether the arms are as large as planned. Read it first.",
        {
            "observed": many({"type": "integer"}, "Units by arm."),
            "expected": many({"type": "number"}, "Planned units by arm."),
            "p_value": maybe(number("Of the split being as planned; null: no units.", **PROBABILITY)),
            "ok": maybe(flag("false: trust nothing below; null: it cannot be said.")),
        },
    ),
    "Sequential": open_object(
        "The reading that stays valid however often you look.",
        {"p_value": maybe(number("Always valid.", **PROBABILITY)), "lift_ci": pair("Always-valid interval.")},
    ),
    "Bayesian": open_object(
        "The reading under a stated prior.",
        {
            "chance_to_win": maybe(number("That the arm is better than the control.", **PROBABILITY)),
            "expected_loss": maybe(number("What choosing it costs if it is worse, relative to the control.")),
            "lift_ci": pair("Credible interval of the lift."),
            "prior": text("What was believed before the data."),
            "model": text("Of the data."),
        },
        required=["chance_to_win", "expected_loss"],
    ),
    "Comparison": open_object(
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
            "p_value": maybe(number("Two-sided, of no difference.", **PROBABILITY)),
            "p_value_adjusted": maybe(number("Corrected for how many were looked at.", **PROBABILITY)),
            "std_error": maybe(number("Of the difference.")),
            "ci_level": number("Of all intervals.", **PROBABILITY),
            "method": text("How it was read: estimator, adjustment, or the exact one of few successes."),
            "detectable_lift": maybe(number("The lift that these data would find 4 times in 5.")),
            "sequential": maybe(ref("Sequential")),
            "bayesian": maybe(ref("Bayesian")),
            "variance_reduction": maybe(
                number("Share of the variance that CUPED or strata took away; null: not used.")
            ),
            "group_sequential": maybe(
                open_object(
                    "The repeated interval of the latest planned look; null: another regime.",
                    {
                        "look": maybe(whole("The latest that was reached; null: none yet.", minimum=1)),
                        "looks": whole("Planned.", minimum=2),
                        "bound": maybe(number("Standard errors that its interval reaches.")),
                        "nominal_alpha": maybe(number("The level that p is held against.", **PROBABILITY)),
                        "difference_ci": pair("Of the difference; all looks' together hold at `ci_level`."),
                        "lift_ci": pair("Of the lift, likewise."),
                        "reasons": REASONS,
                    },
                )
            ),
            "bootstrap": maybe(
                open_object(
                    "A cross-check of the formulas' intervals; null: not asked for.",
                    {
                        "difference_ci": pair("Percentiles of the resampled differences."),
                        "difference_std_error": maybe(number("Their standard deviation.")),
                        "lift_ci": pair("Of the lift."),
                        "draws": whole("Resamples.", minimum=200),
                        "seed": whole("Of the random numbers.", minimum=0),
                        "groups": whole("Groups of units that are drawn, at most.", minimum=0),
                        "method": text("In words."),
                        "reasons": REASONS,
                    },
                )
            ),
            "warnings": many({"type": "string"}, "What a reader should know."),
            "warning_codes": many({"type": "string"}, "The same for programs."),
            "reasons": REASONS,
        },
        required=[
            *("arm", "control", "lift", "lift_ci", "difference", "difference_ci", "p_value", "p_value_adjusted"),
            *("ci_level", "sequential", "bayesian", "variance_reduction", "warnings"),
        ],
    ),
}
