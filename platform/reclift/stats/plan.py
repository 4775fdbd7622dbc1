"""What was promised before the start: how the experiment may be read, and for how long it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from reclift.stats.multiple import Method

Regime = Literal["fixed", "sequential", "group_sequential"]


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment's plan and how far it has come.

    Attributes:
        regime: `fixed` reads once, at the end; `sequential` at any time (always-valid); `group_sequential` at planned
            looks, each with its own significance level.
        days_planned: planned length in days, and `days_run` so far.
        units_planned: planned units in all arms together, and `units` so far.
        minimum_effect: the smallest relative lift worth having, 0.05 = 5 %.
        look_alpha: group-sequential only: the two-sided nominal level of the latest planned look that has been reached
            (`reclift.stats.group_sequential`); `None` before the first.
        finished: the experiment was stopped: nothing more will come.
        correction: how the primary metrics' comparisons are corrected for being several.
    """

    regime: Regime = "sequential"
    days_planned: float | None = None
    days_run: float | None = None
    units_planned: int | None = None
    units: int | None = None
    minimum_effect: float | None = None
    look_alpha: float | None = None
    finished: bool = False
    correction: Method = "holm"

    def __post_init__(self) -> None:
        if self.regime not in get_args(Regime):
            raise ValueError(f"regime is {self.regime!r}; it must be one of {', '.join(get_args(Regime))}")
        if self.correction not in get_args(Method):
            raise ValueError(f"correction is {self.correction!r}; it must be one of {', '.join(get_args(Method))}")
        for name in ("days_planned", "units_planned", "minimum_effect"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value!r}; it must be positive, or None where nothing was planned")

    @property
    def is_stated(self) -> bool:
        """Whether a length or a size was planned."""
        return self.days_planned is not None or self.units_planned is not None

    @property
    def is_over(self) -> bool:
        """Whether everything that was planned has happened, or the experiment was stopped."""
        if self.finished:
            return True
        return self.is_stated and all(
            (done or 0) >= planned
            for done, planned in ((self.days_run, self.days_planned), (self.units, self.units_planned))
            if planned is not None
        )

    @property
    def effective_regime(self) -> Regime:
        """The regime to read by now: a fixed one without a stated end may only be read in the always-valid way."""
        if self.regime == "fixed" and not self.is_stated and not self.finished:
            return "sequential"
        return self.regime

    @property
    def progress_words(self) -> str:
        """One sentence on how far the plan is."""
        parts = []
        if self.days_planned is not None:
            parts.append(f"day {self.days_run or 0:.0f} of {self.days_planned:.0f}")
        if self.units_planned is not None:
            parts.append(f"{self.units or 0:,} of {self.units_planned:,} units")
        so_far = ", ".join(parts)
        if self.finished:
            return f"The experiment was stopped ({so_far})." if parts else "The experiment was stopped."
        if not parts:
            return "No length was planned, so the always-valid reading decides."
        return f"The plan is over ({so_far})." if self.is_over else f"The plan is not over: {so_far}."
