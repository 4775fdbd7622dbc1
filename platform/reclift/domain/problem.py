"""What is wrong with something that was sent: the field, the value and the rule it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import Repr
from typing import Any

_SHORT = Repr()  # cuts what is long or deep: what was sent may be either
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 80, 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule.

    Attributes:
        field: where, as a path from the top of what was sent: `arms.1.weight`, `audience.country.$in`.
        value: what stands there; `None` where nothing does.
        rule: what would be right, to be read after the field: `must be greater than 0`.
    """

    field: str
    value: Any
    rule: str

    def __str__(self) -> str:
        """`field: rule (got value)`, the value cut to a readable length."""
        return f"{self.field}: {self.rule} (got {_SHORT.repr(self.value)})"
