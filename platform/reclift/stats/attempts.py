"""Computing what can be computed, and keeping the reason for what cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from reclift.stats.result import CannotCompute, Reason

T = TypeVar("T")

FIXED_FIELDS = (
    "lift", "lift_ci", "lift_std_error", "difference", "difference_ci", "std_error", "p_value", "p_value_adjusted",
    "detectable_lift",
)  # fmt: skip
"""The fields of a `Comparison` that the fixed-horizon reading fills."""


class Attempts:
    """Runs computations and keeps the reason of each that cannot be done, by the fields it would have
    filled; a field's first reason stays.
    """

    def __init__(self) -> None:
        self.reasons: dict[str, Reason] = {}

    def __call__(self, names: tuple[str, ...], compute: Callable[[], T]) -> T | None:
        """What `compute` gives, or `None` with its reason under each of `names`."""
        try:
            return compute()
        except CannotCompute as impossible:
            self.reasons = dict.fromkeys(names, impossible.reason) | self.reasons
            return None

    def all_fields(self, compute: Callable[[], T]) -> T | None:
        """The same for what a whole comparison rests on."""
        return self(FIXED_FIELDS, compute)
