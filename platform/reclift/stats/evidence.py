"""What one comparison says by the plan's regime: better, worse or unclear; and whether a guardrail holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reclift.stats.multiple import corrected
from reclift.stats.plan import Plan
from reclift.stats.result import Code, Comparison, Interval
from reclift.stats.words import p_words, percent

State = Literal["better", "worse", "unclear", "unknown"]
GuardState = Literal["safe", "harmed", "unproven", "unknown"]

ALWAYS_VALID = "always-valid p"

_CAUTIONS = (Code.TWYMAN, Code.COVARIATE_IMBALANCE, Code.SMALL_SAMPLE, Code.UNCORRECTED)
"""Warnings of a comparison that a decision repeats."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One primary comparison, read.

    Attributes:
        gain: the lift (the difference where there is no lift) in the wanted direction, for ranking arms.
        detectable: the relative lift that these units find with 80 % power.
        cautions: what a reader must hear before acting on it.
    """

    arm: str
    metric: str
    state: State
    gain: float
    detectable: float | None
    sentence: str
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Guard:
    """One guardrail on one arm, read."""

    arm: str
    metric: str
    state: GuardState
    sentence: str


def read_evidence(primary: Sequence[tuple[str, Sequence[Comparison]]], plan: Plan, alpha: float) -> list[Evidence]:
    """Reads all primary comparisons together; always-valid p-values are adjusted among them as the plan says."""
    pairs = [(metric, comparison) for metric, comparisons in primary for comparison in comparisons]
    known = [(i, c.sequential.p_value) for i, (_, c) in enumerate(pairs) if c.sequential.p_value is not None]
    adjusted = dict(zip([i for i, _ in known], corrected([p for _, p in known], plan.correction), strict=True))
    return [_read(metric, c, plan, alpha, adjusted.get(i)) for i, (metric, c) in enumerate(pairs)]


def _read(metric: str, c: Comparison, plan: Plan, alpha: float, always_valid: float | None) -> Evidence:
    difference = c.difference
    if difference is None or c.p_value_adjusted is None:
        why = c.reasons.get("p_value") or c.reasons.get("difference")
        sentence = f"{c.arm} on {metric}: nothing can be said. {why.text if why else ''}".strip()
        return Evidence(c.arm, metric, "unknown", 0.0, None, sentence)
    direction = 1.0 if c.higher_is_better else -1.0
    gain = direction * (c.lift if c.lift is not None else difference)
    p, threshold, kind = _decisive(c, plan, alpha, always_valid, harm=gain < 0)
    state: State = "unclear"
    if p is not None and p <= threshold and gain != 0:
        state = "better" if gain > 0 else "worse"
    size = percent(c.lift) if c.lift is not None else f"{difference:+.4g}"
    interval, relative = _interval(c, fixed=kind != ALWAYS_VALID)
    bounds = f" {_bounds_words(interval, relative=relative)}" if interval else ""
    verdict = {"better": "is better than", "worse": "is worse than"}.get(state, "is not clearly different from")
    if threshold < 0 and p is not None and p <= alpha:
        verdict = "is ahead of"
    sentence = f"{c.arm} {verdict} {c.control} on {metric}: {size}{bounds}, {kind} {p_words(p)}."
    cautions = tuple(w.text for w in c.warnings if w.code in _CAUTIONS)
    return Evidence(c.arm, metric, state, gain, c.detectable_lift, sentence, cautions)


def _decisive(
    c: Comparison, plan: Plan, alpha: float, always_valid: float | None, *, harm: bool
) -> tuple[float | None, float, str]:
    """The p-value that counts now, the level that it is held against, and its name."""
    regime = plan.effective_regime
    if regime == "sequential":
        return always_valid, alpha, ALWAYS_VALID
    if regime == "group_sequential" and plan.look_alpha is not None:
        return c.p_value_adjusted, plan.look_alpha, "p at this look"
    if regime == "fixed" and plan.is_over:
        return c.p_value_adjusted, alpha, "p"
    # too early for the planned reading: only harm may end an experiment, by the reading that allows for looking
    return always_valid, (alpha if harm else -1.0), ALWAYS_VALID


def guard(metric: str, c: Comparison, margin: float | None, plan: Plan) -> Guard:
    """Reads a guardrail by its interval at the comparison's level, in the bad direction.

    With a margin it is a test of non-inferiority: `safe` when the whole interval loses less than the margin, `harmed`
    when the whole interval loses more. Without one, `harmed` when the whole interval is on the bad side of 0.

    Where the control's mean is 0, as that of fallbacks should be, there is no share of it: any loss that is shown is
    harm. Where no unit differs from another besides there is no interval either: then it is as good as its difference.

    What has no reading that allows for looking (coverage) is read once, when the plan is over; `unproven` until then,
    whatever the margin: nothing may ship past a guardrail that was not read.
    """
    once = c.sequential.reasons.get("difference_ci")
    only_once = once is not None and once.code is Code.NOT_SEQUENTIAL
    interval, relative = _interval(c, fixed=(plan.effective_regime == "fixed" or only_once) and plan.is_over)

    def read(state: GuardState, sentence: str) -> Guard:
        return Guard(c.arm, metric, state, sentence)

    if only_once and not plan.is_over and c.difference_ci is not None:
        return read(
            "unproven", f"Guardrail {metric} is read for {c.arm} once the plan is over or the experiment stopped."
        )

    if _is_of_nothing(c):
        # Of nothing no share can be lost: the difference itself is read, against 0.
        margin = None
        if interval is None and _is_constant(c):
            return read(*_constant(metric, c))
    if interval is None or (margin is not None and not relative):
        why = c.reasons.get("lift_ci") or c.reasons.get("difference_ci")
        sentence = f"Guardrail {metric} cannot be read for {c.arm}. {why.text if why else ''}".strip()
        return read("unknown" if margin is None else "unproven", sentence)
    low, high = interval if c.higher_is_better else Interval(-interval.high, -interval.low)
    bounds = _bounds_words(interval, relative=relative)
    limit = 0.0 if margin is None else -margin
    if high < limit:
        return read("harmed", f"Guardrail {metric} is harmed by {c.arm}: {bounds}.")
    if margin is None:
        return read("safe", f"Guardrail {metric} shows no harm by {c.arm}: {bounds}.")
    allowed = percent(margin, sign=False)
    if low > limit:
        return read("safe", f"Guardrail {metric} holds for {c.arm}: {bounds}, within {allowed} of loss.")
    return read("unproven", f"Guardrail {metric} is not yet shown to lose less than {allowed} with {c.arm}: {bounds}.")


def _is_of_nothing(c: Comparison) -> bool:
    why = c.reasons.get("lift")
    return why is not None and why.code is Code.ZERO_DENOMINATOR and c.difference is not None


def _is_constant(c: Comparison) -> bool:
    why = c.reasons.get("difference_ci")
    return why is not None and why.code is Code.ZERO_VARIANCE


def _constant(metric: str, c: Comparison) -> tuple[GuardState, str]:
    """The control has 0, and each arm is the same for all its units."""
    difference = c.difference or 0.0
    if difference == 0:
        return "safe", f"Guardrail {metric} shows no harm by {c.arm}: it is 0 in both arms."
    sentence = f"Guardrail {metric} is {difference:+.4g} with {c.arm} for every unit alike, where the control has 0."
    return "safe" if (difference > 0) == c.higher_is_better else "unproven", sentence


def _interval(c: Comparison, *, fixed: bool) -> tuple[Interval | None, bool]:
    """The interval that counts, and whether it is the lift's; Fieller's where the delta method is rough."""
    lift, difference = (
        (c.lift_ci_fieller or c.lift_ci, c.difference_ci)
        if fixed
        else (c.sequential.lift_ci, c.sequential.difference_ci)
    )
    return (lift, True) if lift is not None else (difference, False)


def _bounds_words(interval: Interval, *, relative: bool) -> str:
    show = percent if relative else "{:+.4g}".format
    return f"[{show(interval.low)}, {show(interval.high)}]"
