"""What is wrong with a strategy's parameters, each fault at the field that has it."""

from __future__ import annotations

from typing import Any

from reclift.domain.problem import Problem
from reclift.strategy import ParameterError, StrategyError


def parameter_problems(error: StrategyError, field: str, given: Any) -> list[Problem]:
    """The faults that `parse_parameters` found, at their places below `field`, such as `arms.1.params.k`.

    An error that names no place stands at `field` itself, with what was `given`.
    """
    if isinstance(error, ParameterError):
        return [Problem(f"{field}.{place}" if place else field, value, rule) for place, value, rule in error.faults]
    return [Problem(field, given, str(error))]
