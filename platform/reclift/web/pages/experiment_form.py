"""What people type into the experiment form, kept as typed, and the payload that it means."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import schema_form
from .audience import rows_of, to_condition
from .backend import JSON, Problem

KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
KEY_RULE = "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
MAX_ARMS = 20

FIRST_CHOICE = {"primary": ["ctr"], "secondary": ["conversion", "revenue_per_user"],
                "guardrails": ["latency", "fallback_rate"]}  # fmt: skip
"""The metrics that a new experiment starts with, as far as they are there."""

Typed = dict[str, Any]


def slug(name: str) -> str:
    """A key made from a name: `Home: new lists!` is `home-new-lists`. Empty when nothing of it can stand in a key."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].strip("-")


def blank(placements: Sequence[JSON], metrics: Sequence[JSON]) -> Typed:
    """What the form starts with: two arms, everybody, the first placement and its strategy as the control."""
    first = next((p for p in placements if p["key"] == "home"), placements[0] if placements else None)
    first = first or {"key": "", "strategy": ""}
    keys = [m["key"] for m in metrics]
    chosen = {role: [key for key in wanted if key in keys] for role, wanted in FIRST_CHOICE.items()}
    primary = (chosen["primary"] or keys or [""])[0]
    return {
        "key": "", "name": "", "hypothesis": "", "placement": first["key"], "traffic": "100", "planned_days": "14",
        "note": "", "control": "0", "version": "",
        "arms": [{"key": "control", "strategy": first["strategy"], "weight": "50", "params": {}},
                 {"key": "", "strategy": "", "weight": "50", "params": {}}],
        "audience": [], "audience_json": "", "primary": primary,
        "secondary": chosen["secondary"], "guardrails": chosen["guardrails"],
    }  # fmt: skip


def from_experiment(experiment: Mapping[str, Any]) -> Typed:
    """What the form shows for an experiment that is there."""
    arms = experiment["arms"]
    total = sum(arm["weight"] for arm in arms) or 1.0
    rows = rows_of(experiment.get("audience") or {})
    metrics = experiment["metrics"]
    return {
        "key": experiment["key"], "name": experiment["name"], "hypothesis": experiment.get("hypothesis") or "",
        "placement": experiment["placement"], "traffic": f"{experiment['traffic'] * 100:g}",
        "planned_days": str(experiment.get("planned_days") or ""), "note": experiment.get("note") or "",
        "control": str(next((n for n, arm in enumerate(arms) if arm.get("control")), 0)),
        "version": str(experiment.get("version") or ""),
        "arms": [{"key": arm["key"], "strategy": arm["strategy"], "weight": f"{arm['weight'] / total * 100:.6g}",
                  "params": dict(arm.get("params") or {})} for arm in arms],
        "audience": rows or [],
        "audience_json": "" if rows is not None else json.dumps(experiment["audience"], ensure_ascii=False, indent=2),
        "primary": metrics["primary"], "secondary": list(metrics.get("secondary") or ()),
        "guardrails": list(metrics.get("guardrails") or ()),
    }  # fmt: skip


def from_form(form: Any) -> Typed:
    """What was sent, as typed. Arms and conditions are numbered, gaps are closed."""
    names = ("key", "name", "hypothesis", "placement", "traffic", "planned_days", "note", "audience_json", "primary",
             "version")  # fmt: skip
    typed: Typed = {name: str(form.get(name, "")).strip() for name in names}
    typed["secondary"], typed["guardrails"] = form.getlist("secondary"), form.getlist("guardrails")
    typed["arms"], typed["control"] = [], ""
    for number in _numbers(form, "arms", "key")[:MAX_ARMS]:
        start = f"arms-{number}-params-"
        params = {k.removeprefix(start): str(v) for k, v in form.items() if k.startswith(start)}
        if form.get("control") == str(number):
            typed["control"] = str(len(typed["arms"]))
        arm = {name: str(form.get(f"arms-{number}-{name}", "")).strip() for name in ("key", "strategy", "weight")}
        typed["arms"].append({**arm, "params": params})
    typed["audience"] = [
        {name: str(form.get(f"audience-{number}-{name}", "")).strip() for name in ("attribute", "op", "value")}
        for number in _numbers(form, "audience", "attribute")
    ]
    return typed


def _numbers(form: Any, group: str, name: str) -> list[int]:
    found = (re.fullmatch(rf"{group}-(\d{{1,4}})-{name}", key) for key in form)
    return sorted(int(match[1]) for match in found if match)


def payload(typed: Typed, strategies: Sequence[JSON]) -> tuple[JSON, list[Problem]]:
    """The experiment that was meant, and what is wrong with it as far as a form can tell."""
    problems: list[Problem] = []

    def wrong(field: str, value: Any, rule: str) -> None:
        problems.append({"field": field, "value": value, "rule": rule})

    if not typed["name"]:
        wrong("name", "", "is needed: what people will call this experiment")
    key = typed["key"] or slug(typed["name"])
    if not KEY.fullmatch(key):
        wrong("key", typed["key"], KEY_RULE)
    if not typed["placement"]:
        wrong("placement", "", "is needed: where in the shop the lists are shown")
    traffic = _number(typed["traffic"])
    if traffic is None or not 0 < traffic <= 100:
        wrong("traffic", typed["traffic"], "must be above 0 and up to 100 percent")
    days: int | None = None
    if typed["planned_days"]:
        planned = _number(typed["planned_days"])
        if planned is None or planned != int(planned) or not 1 <= planned <= 365:
            wrong("planned_days", typed["planned_days"], "must be a whole number of days from 1 to 365")
        else:
            days = int(planned)
    if not typed["primary"]:
        wrong("metrics.primary", "", "is needed: the one metric that decides")
    audience, audience_problems = to_condition(typed["audience"], typed["audience_json"])
    arms, arm_problems = _arms(typed, strategies)
    others = [m for m in typed["secondary"] if m != typed["primary"]]
    guards = [m for m in typed["guardrails"] if m != typed["primary"] and m not in others]
    built: JSON = {
        "key": key, "name": typed["name"], "hypothesis": typed["hypothesis"], "placement": typed["placement"],
        "traffic": round((traffic or 0) / 100, 6), "audience": audience, "arms": arms, "planned_days": days,
        "metrics": {"primary": typed["primary"], "secondary": others, "guardrails": guards}, "note": typed["note"],
    }  # fmt: skip
    return built, problems + audience_problems + arm_problems


def _arms(typed: Typed, strategies: Sequence[JSON]) -> tuple[list[JSON], list[Problem]]:
    known = {s["key"]: s for s in strategies}
    problems: list[Problem] = []
    arms: list[JSON] = []
    seen: set[str] = set()
    total = 0.0
    for n, arm in enumerate(typed["arms"]):
        path = f"arms.{n}."
        key = arm["key"] or slug(arm["strategy"])
        if not KEY.fullmatch(key):
            problems.append({"field": path + "key", "value": arm["key"], "rule": KEY_RULE})
        elif key in seen:
            problems.append({"field": path + "key", "value": key, "rule": "is the name of another arm too"})
        seen.add(key)
        weight = _number(arm["weight"])
        if weight is None or not 0 < weight <= 100:
            problems.append({"field": path + "weight", "value": arm["weight"], "rule": "must be above 0 and up to 100"})
        total += weight or 0
        params: JSON = {}
        if arm["strategy"] in known:
            schema = known[arm["strategy"]]["schema"]
            params, wrong = schema_form.parse(schema, arm["params"], "", path + "params.")
            problems += wrong
        else:
            rule = "must be an installed strategy" if arm["strategy"] else "is needed: choose how this arm ranks items"
            problems.append({"field": path + "strategy", "value": arm["strategy"], "rule": rule})
        arms.append({"key": key, "strategy": arm["strategy"], "params": params, "weight": round((weight or 0) / 100, 6),
                     "control": str(n) == typed["control"]})  # fmt: skip
    if len(arms) < 2:
        rule = "must be at least two: a control and one to compare"
        problems.append({"field": "arms", "value": len(arms), "rule": rule})
    elif abs(total - 100) > 0.05:
        rule = "must have weights that add up to 100 percent"
        problems.append({"field": "arms", "value": f"{total:g}", "rule": rule})
    if arms and not any(arm["control"] for arm in arms):
        problems.append({"field": "control", "value": typed["control"], "rule": "must be one of the arms"})
    return arms, problems


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None
