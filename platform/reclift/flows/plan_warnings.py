"""What people should know of a running experiment that only the compiled plan can say."""

from __future__ import annotations

from reclift.domain.growthbook import left_out
from reclift.domain.plan import Plan


def plan_warnings(plan: Plan, experiment: str) -> list[str]:
    """Conditions that broke after they were saved, and why SDKs do not get the experiment. Empty: all is well."""
    found = [
        f"nobody is let in, because a condition is not valid any more: {problem}"
        for problem in plan.problems.get(experiment, ())
    ]
    reason = left_out(plan, only=experiment).get(experiment)
    if reason is not None:
        found.append(f"GrowthBook SDKs do not get this experiment and show their default: {reason}")
    return found
