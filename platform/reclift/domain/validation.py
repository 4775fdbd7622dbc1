"""The JSON of `/api/v1/experiments`, checked and brought into one shape; all problems at once.

Rules that need no look at anything stored. Whether strategies, placements, metrics and layers exist is the flow's to
check, since it has them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from reclift.domain.analysis import check_analysis
from reclift.domain.condition_check import check_condition
from reclift.domain.groups import Groups
from reclift.domain.jsvalue import is_number
from reclift.domain.problem import Problem
from reclift.domain.rerank import check_rerank

KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
KEY_RULE = "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
KINDS = ("ab",)
MAX_ARMS = 20
MIN_ARM_SHARE = 0.001
"""Ten buckets of 10,000: with fewer an arm's true share would be far from its weight."""
MAX_OVERRIDES = 1_000
MAX_METRICS = 50
MAX_NAME = 200
MAX_HYPOTHESIS = 5_000
MAX_UNIT = 256
MAX_NOTE = 20_000
MAX_PLANNED_DAYS = 365

READ_ONLY = frozenset(
    {
        "status", "phase", "seed", "slot", "source", "layer_range", "ramp", "ramp_stopped", "phases",
        "weight_changes", "warnings", "version", "created_at", "created_by", "updated_at", "started_at",
        "stopped_at",
    }
)  # fmt: skip
"""What the server adds to an experiment when it shows it; left out when it comes back."""
REQUIRED = ("key", "placement", "arms")


def parse_experiment(
    payload: Any, *, partial: bool = False, groups: Groups | None = None
) -> tuple[dict[str, Any], list[Problem]]:
    """Check an experiment's JSON. Returns it in one shape, and everything that is wrong; use the first if none is.

    The shape: `key, name, hypothesis, placement, layer, traffic, audience, exclude, overrides, sticky, kind, arms,
    metrics` (and `note, planned_days, analysis` if sent), with defaults where nothing was sent. Arms are dicts of
    `key, strategy, params, weight, control, model, rerank`; metrics a dict of `primary, secondary, guardrails`,
    `primary` being `None` where no metrics were sent. Weights stay as they are (the plan normalises them). With
    `partial` (a PATCH) only what was sent is in it and nothing is required. With `groups`, the saved groups that
    conditions name must exist.
    """
    if not isinstance(payload, Mapping):
        return {}, [Problem("body", payload, "must be a JSON object")]
    reader = _Reader(groups)
    shape: dict[str, Any] = {}
    for name, value in payload.items():
        if name in reader.fields:
            shape[name] = reader.fields[name](value, name)
        elif name not in READ_ONLY:
            reader.add(str(name), value, f"is no field of an experiment; fields: {', '.join(reader.fields)}")
    if not partial:
        for name in REQUIRED:
            if name not in payload:
                reader.add(name, None, "is required")
        shape = {**_defaults(shape), **shape}
    reader.overridden_arms(shape)
    return shape, reader.problems


def _defaults(shape: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": "",
        "name": shape.get("key", ""),
        "hypothesis": "",
        "placement": "",
        "layer": None,
        "traffic": 1.0,
        "audience": {},
        "exclude": {},
        "overrides": {},
        "sticky": False,
        "kind": "ab",
        "arms": [],
        "metrics": {"primary": None, "secondary": [], "guardrails": []},
    }


class _Reader:
    """Reads field by field, collecting problems; what is wrong is read as something harmless of the right type."""

    def __init__(self, groups: Groups | None) -> None:
        self.groups = groups
        self.problems: list[Problem] = []
        self.fields: dict[str, Callable[[Any, str], Any]] = {
            "key": self.key,
            "name": lambda value, place: self.text(value, place, MAX_NAME),
            "hypothesis": lambda value, place: self.text(value, place, MAX_HYPOTHESIS),
            "placement": self.key,
            "layer": lambda value, place: None if value is None else self.key(value, place),
            "traffic": self.share,
            "audience": self.condition,
            "exclude": self.condition,
            "overrides": self.overrides,
            "sticky": self.flag,
            "kind": self.kind,
            "arms": self.arms,
            "metrics": self.metrics,
            "note": lambda value, place: self.text(value, place, MAX_NOTE),
            "planned_days": self.planned_days,
            "analysis": self.analysis,
        }
        self.arm_fields: dict[str, Callable[[Any, str], Any]] = {
            "key": self.key,
            "strategy": lambda value, place: self.named(value, place, "a strategy's key"),
            "params": self.params,
            "weight": self.weight,
            "control": self.flag,
            "model": self.model,
            "rerank": self.rerank,
        }

    def add(self, place: str, value: Any, rule: str) -> None:
        self.problems.append(Problem(place, value, rule))

    def key(self, value: Any, place: str) -> str:
        if isinstance(value, str) and KEY.fullmatch(value):
            return value
        self.add(place, value, KEY_RULE)
        return ""

    def text(self, value: Any, place: str, longest: int) -> str:
        if not isinstance(value, str):
            self.add(place, value, "must be text")
            return ""
        if len(value) > longest:
            self.add(place, value, f"must have at most {longest} characters, not {len(value)}")
        return value

    def flag(self, value: Any, place: str) -> bool:
        if not isinstance(value, bool):
            self.add(place, value, "must be true or false")
        return value is True

    def kind(self, value: Any, place: str) -> str:
        if value not in KINDS:
            self.add(place, value, f"must be one of {', '.join(KINDS)}")
        return str(value)

    def analysis(self, value: Any, place: str) -> dict[str, Any]:
        """How the numbers are to be read."""
        chosen, problems = check_analysis(value, place)
        self.problems += problems
        return chosen

    def planned_days(self, value: Any, place: str) -> int | None:
        """Whole days that the experiment is planned to run; `None`: no plan."""
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PLANNED_DAYS):
            return value
        self.add(place, value, f"must be a whole number from 1 to {MAX_PLANNED_DAYS}, or null")
        return None

    def share(self, value: Any, place: str) -> float:
        if is_number(value) and 0 <= value <= 1:
            return float(value)
        self.add(place, value, "must be a share between 0 and 1")
        return 0.0

    def condition(self, value: Any, place: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        self.problems += check_condition(value, place, self.groups)
        return value if isinstance(value, Mapping) else {}

    def overrides(self, value: Any, place: str) -> dict[str, str]:
        if not isinstance(value, Mapping):
            self.add(place, value, "must be an object of user id to arm key")
            return {}
        if len(value) > MAX_OVERRIDES:
            self.add(place, len(value), f"must have at most {MAX_OVERRIDES} entries")
            return {}
        for unit, arm in value.items():
            if not isinstance(unit, str) or not 0 < len(unit) <= MAX_UNIT:
                self.add(place, unit, f"user ids must be text of 1 to {MAX_UNIT} characters")
            if not isinstance(arm, str):
                self.add(f"{place}.{unit}", arm, "must be an arm's key, as text")
        return {str(unit): str(arm) for unit, arm in value.items()}

    def overridden_arms(self, shape: Mapping[str, Any]) -> None:
        """Overrides must name arms, where both are there to compare."""
        keys = [arm["key"] for arm in shape.get("arms", ()) if arm["key"]]
        for unit, arm in shape.get("overrides", {}).items() if keys else ():
            if arm not in keys:
                self.add(f"overrides.{unit}", arm, f"must be an arm's key: {', '.join(keys)}")

    def arms(self, value: Any, place: str) -> list[dict[str, Any]]:
        if not isinstance(value, list):
            self.add(place, value, "must be a list of arms")
            return []
        if not 2 <= len(value) <= MAX_ARMS:
            self.add(place, len(value), f"must be 2 to {MAX_ARMS} arms")
        read = [self.arm(arm, f"{place}.{i}") for i, arm in enumerate(value[: MAX_ARMS + 1])]
        seen: set[str] = set()
        for i, arm in enumerate(read):
            if arm["key"] and arm["key"] in seen:
                self.add(f"{place}.{i}.key", arm["key"], "must differ from the other arms' keys")
            seen.add(arm["key"])
        total = sum(arm["weight"] for arm in read)
        for i, arm in enumerate(read):
            if arm["weight"] < MIN_ARM_SHARE * total:
                self.add(
                    f"{place}.{i}.weight", arm["weight"], f"must be at least {MIN_ARM_SHARE:.1%} of all arms' weights"
                )
        controls = sum(arm["control"] for arm in read)
        if controls != 1:
            self.add(place, controls, "must have exactly one arm with control: true")
        return read

    def arm(self, value: Any, place: str) -> dict[str, Any]:
        arm: dict[str, Any] = {
            "key": "", "strategy": "", "params": {}, "weight": 1.0, "control": False, "model": None,
            "rerank": None,
        }  # fmt: skip
        if not isinstance(value, Mapping):
            self.add(place, value, "must be an object")
            return arm
        for name in ("key", "strategy"):
            if name not in value:
                self.add(f"{place}.{name}", None, "is required")
        for name, part in value.items():
            here = f"{place}.{name}"
            if name in self.arm_fields:
                arm[name] = self.arm_fields[name](part, here)
            else:
                self.add(here, part, f"is no field of an arm; fields: {', '.join(arm)}")
        return arm

    def named(self, value: Any, place: str, what: str) -> str:
        if isinstance(value, str) and 0 < len(value) <= MAX_NAME:
            return value
        self.add(place, value, f"must be {what}, as text")
        return ""

    def params(self, value: Any, place: str) -> Mapping[str, Any]:
        if isinstance(value, Mapping):
            return value
        self.add(place, value, "must be an object of parameters")
        return {}

    def weight(self, value: Any, place: str) -> float:
        if is_number(value) and 0 < value < 1e15 and math.isfinite(value):
            return float(value)
        self.add(place, value, "must be a number greater than 0")
        return 1.0

    def model(self, value: Any, place: str) -> int | None:
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31):
            return value
        self.add(place, value, "must be a model's version number, 1 or more, or null for the active one")
        return None

    def rerank(self, value: Any, place: str) -> dict[str, Any] | None:
        shape, problems = check_rerank(value, place)
        self.problems += problems
        return shape

    def metrics(self, value: Any, place: str) -> dict[str, Any]:
        read: dict[str, Any] = {"primary": None, "secondary": [], "guardrails": []}
        if not isinstance(value, Mapping):
            self.add(place, value, "must be an object of primary, secondary and guardrails")
            return read
        if "primary" not in value:
            self.add(f"{place}.primary", None, "is required")
        for name, part in value.items():
            here = f"{place}.{name}"
            if name == "primary":
                read[name] = self.named(part, here, "a metric's key")
            elif name in read:
                read[name] = self.metric_list(part, here)
            else:
                self.add(here, part, f"is no role of a metric; roles: {', '.join(read)}")
        seen: dict[str, str] = {read["primary"]: f"{place}.primary"} if read["primary"] else {}
        for role in ("secondary", "guardrails"):
            for i, metric in enumerate(read[role]):
                here = f"{place}.{role}.{i}"
                if metric in seen:
                    self.add(here, metric, f"is already {seen[metric]}; a metric has one role")
                seen[metric] = here
        return read

    def metric_list(self, value: Any, place: str) -> list[str]:
        if not isinstance(value, list):
            self.add(place, value, "must be a list of metrics' keys")
            return []
        if len(value) > MAX_METRICS:
            self.add(place, len(value), f"must have at most {MAX_METRICS} metrics")
            return []
        named = [self.named(metric, f"{place}.{i}", "a metric's key") for i, metric in enumerate(value)]
        return [metric for metric in named if metric]
