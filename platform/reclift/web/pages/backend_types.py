"""What goes through the pages' door: plain data, people, and refusals in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

JSON = dict[str, Any]
Role = Literal["manager", "viewer"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can sign in. A manager changes things, a viewer sees everything and changes nothing."""

    id: str
    email: str
    role: Role
    name: str = ""

    @property
    def may_change(self) -> bool:
        """Whether this person may change anything."""
        return self.role == "manager"


class Problem(TypedDict):
    """One thing that is wrong with an input.

    `field` is the path in the payload, with dots: `key`, `arms.1.weight`, `arms.0.params.k`, `metrics.primary`.
    """

    field: str
    value: Any
    rule: str


class Invalid(Exception):  # noqa: N818 (reads as a sentence where it is raised)
    """What was given cannot be taken. Every problem names its field, its value and the rule."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """`problems` has at least one."""
        super().__init__("; ".join(f"{p['field']}={p['value']!r}: {p['rule']}" for p in problems))
        self.problems = list(problems)


class NotFound(Exception):  # noqa: N818 (reads as a sentence where it is raised)
    """There is no such thing. The message names it."""


class Refused(Exception):  # noqa: N818 (reads as a sentence where it is raised)
    """The thing is there, but its state does not allow this (say, starting what has ended). The message says why."""


class Page(TypedDict):
    """A part of a long list: `rows` of page `page` (from 1) with at most `size` rows, of `total` in all."""

    rows: list[JSON]
    page: int
    size: int
    total: int
