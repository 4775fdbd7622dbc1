"""What a flow raises when it cannot do what was asked. Web and command line turn these into words."""

from __future__ import annotations

from collections.abc import Sequence

from reclift.domain.problem import Problem


class FlowError(Exception):
    """Base of what a flow refuses."""


class NotFound(FlowError):  # noqa: N818 (reads as a state)
    """There is no such thing."""

    def __init__(self, kind: str, key: object) -> None:
        """`kind` is a word of the design, `key` what was asked for."""
        super().__init__(f"there is no {kind} {key!r}")
        self.kind = kind
        self.key = key


class Invalid(FlowError):  # noqa: N818 (reads as a state)
    """What was sent breaks rules; all of them are named at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """At least one problem."""
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)

    @classmethod
    def of(cls, field: str, value: object, rule: str) -> Invalid:
        """A single problem."""
        return cls([Problem(field, value, rule)])


class Conflict(FlowError):  # noqa: N818 (reads as a state)
    """Right in itself, but not in the present state."""
