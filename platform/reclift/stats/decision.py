"""The decision: ship, keep the control, keep running, or invalid; with its reasons in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, get_args

from reclift.stats.evidence import Evidence, Guard, guard, read_evidence
from reclift.stats.multiple import holm
from reclift.stats.plan import Plan
from reclift.stats.result import Comparison, check_probability
from reclift.stats.srm import SrmResult
from reclift.stats.words import p_words, percent, share

Role = Literal["primary", "secondary", "guardrail"]

WORTHWHILE_LIFT = 0.1
"""The yardstick for "underpowered" where the plan names no smallest effect worth having."""


FAULT_P = 0.001
"""Below this p-value a difference between equal arms is a fault rather than chance."""


class Call(StrEnum):
    """What to do."""

    SHIP = "ship"
    KEEP_CONTROL = "keep_control"
    KEEP_RUNNING = "keep_running"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class MetricReading:
    """One metric's comparisons, one for each arm that is not the control.

    Attributes:
        metric: its key, as the sentences name it.
        role: `primary` decides, `guardrail` can forbid, `secondary` only informs.
        comparisons: p-values already adjusted within their family (`reclift.stats.multiple.adjust`).
        margin: for guardrails, the relative loss that is tolerated (0.02 = 2 %): the arm must be shown to lose less.
            `None`: no proof of safety is asked for, only no proof of harm.
    """

    metric: str
    role: Role
    comparisons: Sequence[Comparison]
    margin: float | None = None

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise ValueError(f"role of {self.metric} is {self.role!r}; it must be one of {', '.join(get_args(Role))}")
        if self.margin is not None and not 0 < self.margin < 1:
            raise ValueError(f"margin of {self.metric} is {self.margin!r}; it must be between 0 and 1, as 0.02 for 2 %")


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and why. `arm` is the arm to ship, or the one that leads; `None` where there is none."""

    call: Call
    because: tuple[str, ...]
    arm: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """API.md's `decision`."""
        return {"call": self.call.value, "because": list(self.because), "arm": self.arm}


def decide(
    srm: SrmResult | None,
    metrics: Sequence[MetricReading],
    plan: Plan | None = None,
    *,
    alpha: float = 0.05,
    faults: Sequence[str] = (),
    same_arms: bool = False,
) -> Decision:
    """Weighs trust, the primary metrics, the guardrails and the plan, in this order.

    1. A failed sample ratio or another `fault` withholds the verdict: `invalid`.
    2. An arm is better when a primary metric is significantly better and none significantly worse, by the plan's
       regime: before a fixed plan is over nothing is called better, only harm (by the always-valid reading).
    3. An arm that is better ships unless a guardrail is harmed, or has a margin and is not yet shown to be within it.
    4. When the plan is over and no arm ships, or every arm is harmful: `keep_control`. Otherwise `keep_running`.

    Args:
        srm: the split's test; `None` where it does not apply.
        metrics: every metric of the experiment.
        plan: regime and size; without one, the always-valid reading decides.
        alpha: two-sided false positive rate for the primary metrics together.
        faults: whole sentences about data that may not be trusted (units in several arms, stale data).
        same_arms: an A/A test: all arms do the same, so nothing can ship and a clear difference is a fault.

    Raises:
        ValueError: `alpha` is not between 0 and 1.
    """
    check_probability("alpha", alpha)
    plan = plan or Plan()
    problems = list(faults)
    if srm is not None and srm.ok is False:
        problems.insert(0, _srm_sentence(srm))
    if problems:
        return Decision(Call.INVALID, (*problems, "The lifts may be wrong in either direction: do not act on them."))
    if srm is not None and srm.ok is None:
        return Decision(Call.KEEP_RUNNING, ("No unit has been exposed yet.",))
    primary = [metric for metric in metrics if metric.role == "primary"]
    if not any(metric.comparisons for metric in primary):
        return Decision(Call.KEEP_RUNNING, ("There is no primary metric to decide by.",))
    if same_arms:
        return _check_of_the_platform(primary, plan, alpha)
    evidence = read_evidence([(m.metric, m.comparisons) for m in primary], plan, alpha)
    guards = [
        guard(metric.metric, comparison, metric.margin, plan)
        for metric in metrics
        if metric.role == "guardrail"
        for comparison in metric.comparisons
    ]
    return _weigh(evidence, guards, plan, alpha)


def _weigh(evidence: Sequence[Evidence], guards: Sequence[Guard], plan: Plan, alpha: float) -> Decision:
    arms = list(dict.fromkeys(e.arm for e in evidence))
    by_arm = {arm: [e for e in evidence if e.arm == arm] for arm in arms}
    harmed = {g.arm for g in guards if g.state == "harmed"}
    unproven = {g.arm for g in guards if g.state == "unproven"}
    better = [a for a in arms if _is_better(by_arm[a])]
    worse = [a for a in arms if any(e.state == "worse" for e in by_arm[a])]
    leader = max(arms, key=lambda a: by_arm[a][0].gain)
    ready = [a for a in better if a not in harmed and a not in unproven]
    if ready:
        best = max(ready, key=lambda a: by_arm[a][0].gain)
        because = [*_sentences(by_arm[best]), *(g.sentence for g in guards if g.arm == best)]
        because += dict.fromkeys(caution for e in by_arm[best] for caution in e.cautions)
        return Decision(Call.SHIP, (*because, *_power_sentences(by_arm[best], plan, significant=True)), best)
    hopeless = [a for a in arms if a in worse or a in harmed]
    shown = [e for a in arms for e in by_arm[a]]
    because = [*_sentences(shown), *(g.sentence for g in guards)]
    if len(hopeless) == len(arms):
        return Decision(Call.KEEP_CONTROL, (*because, "No arm is left that could be shipped."), None)
    if plan.is_over and not (better and plan.effective_regime == "sequential" and not plan.finished):
        if not better:
            because.append(
                f"{plan.progress_words} No arm is shown to be better at a false positive rate of {share(alpha)}."
            )
        else:
            because.append(f"{plan.progress_words} The guardrails do not allow shipping.")
        return Decision(Call.KEEP_CONTROL, (*because, *_power_sentences(by_arm[leader], plan, significant=False)), None)
    if better:
        because.append("The guardrails are not yet shown to hold; more data may show it.")
    because.append(plan.progress_words)
    return Decision(Call.KEEP_RUNNING, tuple(because), leader if by_arm[leader][0].gain > 0 else None)


def _check_of_the_platform(primary: Sequence[MetricReading], plan: Plan, alpha: float) -> Decision:
    """An A/A test's verdict, by the smallest p-value; by Holm's whatever was chosen, since any of them is a fault."""
    known = [(c.p_value, m.metric, c.arm) for m in primary for c in m.comparisons if c.p_value is not None]
    adjusted = holm([p for p, _, _ in known])
    found = [(p, metric, arm) for p, (_, metric, arm) in zip(adjusted, known, strict=True)]
    if not found:
        return Decision(Call.KEEP_RUNNING, ("Nothing can be said yet: no arm can be compared.", plan.progress_words))
    p, metric, arm = min(found)
    if p < FAULT_P:
        why = (
            f"The arms are the same, yet {arm} differs on {metric} (p {p_words(p)}): look for a fault in the platform."
        )
        return Decision(Call.INVALID, (why,))
    if p < alpha:
        why = f"{arm} differs on {metric} (p {p_words(p)}), as {share(alpha)} of A/A tests do by chance."
    else:
        why = f"No difference between equal arms (smallest p {p_words(p)}): as it should be."
    return Decision(Call.KEEP_CONTROL if plan.is_over else Call.KEEP_RUNNING, (why, plan.progress_words))


def _is_better(evidence: Sequence[Evidence]) -> bool:
    return any(e.state == "better" for e in evidence) and not any(e.state == "worse" for e in evidence)


def _sentences(evidence: Sequence[Evidence]) -> Iterator[str]:
    for e in evidence:
        yield e.sentence


def _power_sentences(evidence: Sequence[Evidence], plan: Plan, *, significant: bool) -> Iterator[str]:
    """Says in words when the data could not have shown an effect worth having."""
    yardstick = plan.minimum_effect or WORTHWHILE_LIFT
    for e in evidence:
        if e.detectable is None or e.detectable <= yardstick:
            continue
        sentence = (
            f"Underpowered on {e.metric}: with these units only a lift of about "
            f"{percent(e.detectable, sign=False)} or more either way would be found four times in five "
            f"(a lift worth having: {percent(yardstick, sign=False)})."
        )
        if significant:
            sentence += " A lift that is significant in so small an experiment is probably exaggerated."
        yield sentence


def _srm_sentence(srm: SrmResult) -> str:
    observed = " / ".join(f"{count:,}" for count in srm.observed)
    expected = " / ".join(f"{count:,.0f}" for count in srm.expected)
    return (
        f"Sample ratio mismatch: the arms have {observed} units where {expected} were expected "
        f"(p {p_words(srm.p_value)})."
    )
