"""What people type into the experiment form, kept as typed, and the payload that it means."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import analysis_form, lists_form, schema_form, traffic_form
from .audience import rows_of, rows_of_any, to_condition
from .backend import JSON, Problem
from .traffic_form import number, percent

KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
KEY_RULE = "must be 1 to 64 of a-z, 0-9, '_' and '-', beginning with a letter or digit"
MAX_ARMS = 20

FIRST_CHOICE = {"primary": ["ctr"], "secondary": ["conversion", "revenue_per_user"],
                "guardrails": ["latency", "fallback_rate"]}  # fmt: skip
"""The metrics that a new experiment starts with, as far as they are there."""

BLANK_ARM: dict[str, Any] = {"key": "", "strategy": "", "weight": "", "params": {}, "model": "", "balance": "",
                             "category_cap": ""}  # fmt: skip
"""An arm of which nothing is typed yet."""

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
        "arms": [{**BLANK_ARM, "key": "control", "strategy": first["strategy"], "weight": "50"},
                 {**BLANK_ARM, "weight": "50"}],
        "audience": [], "audience_json": "", "exclude": [], "exclude_json": "", "layer": "", "sticky": False,
        "overrides": [], "ramp": [], "primary": primary,
        "secondary": chosen["secondary"], "guardrails": chosen["guardrails"], "analysis": analysis_form.shown(),
    }  # fmt: skip


def from_experiment(experiment: Mapping[str, Any]) -> Typed:
    """What the form shows for an experiment that is there."""
    arms = experiment["arms"]
    total = sum(arm["weight"] for arm in arms) or 1.0
    audience, exclude = experiment.get("audience") or {}, experiment.get("exclude") or {}
    rows, left_out = rows_of(audience), rows_of_any(exclude)
    metrics = experiment["metrics"]
    return {
        "key": experiment["key"], "name": experiment["name"], "hypothesis": experiment.get("hypothesis") or "",
        "placement": experiment["placement"], "traffic": f"{experiment['traffic'] * 100:g}",
        "planned_days": str(experiment.get("planned_days") or ""), "note": experiment.get("note") or "",
        "control": str(next((n for n, arm in enumerate(arms) if arm.get("control")), 0)),
        "version": str(experiment.get("version") or ""),
        "arms": [{"key": arm["key"], "strategy": arm["strategy"], "weight": f"{arm['weight'] / total * 100:.6g}",
                  "params": dict(arm.get("params") or {}), "model": str(arm.get("model") or ""),
                  **lists_form.variety_shown(arm.get("rerank"))} for arm in arms],
        "audience": rows or [],
        "audience_json": "" if rows is not None else json.dumps(audience, ensure_ascii=False, indent=2),
        "exclude": left_out or [],
        "exclude_json": "" if left_out is not None else json.dumps(exclude, ensure_ascii=False, indent=2),
        "layer": experiment.get("layer") or "", "sticky": bool(experiment.get("sticky")),
        "overrides": traffic_form.override_rows(experiment.get("overrides") or {}),
        "ramp": traffic_form.ramp_rows(experiment.get("ramp") or []),
        "primary": metrics["primary"], "secondary": list(metrics.get("secondary") or ()),
        "guardrails": list(metrics.get("guardrails") or ()),
        "analysis": analysis_form.shown(experiment.get("analysis")),
    }  # fmt: skip


def from_form(form: Any) -> Typed:
    """What was sent, as typed. Arms and conditions are numbered, gaps are closed."""
    names = ("key", "name", "hypothesis", "placement", "traffic", "planned_days", "note", "audience_json",
             "exclude_json", "layer", "primary", "version")  # fmt: skip
    typed: Typed = {name: str(form.get(name, "")).strip() for name in names}
    typed["secondary"], typed["guardrails"] = form.getlist("secondary"), form.getlist("guardrails")
    typed["arms"], typed["control"] = [], ""
    for n in traffic_form.numbers(form, "arms", "key")[:MAX_ARMS]:
        start = f"arms-{n}-params-"
        params = {k.removeprefix(start): str(v) for k, v in form.items() if k.startswith(start)}
        if form.get("control") == str(n):
            typed["control"] = str(len(typed["arms"]))
        arm = {name: str(form.get(f"arms-{n}-{name}", "")).strip() for name in ("key", "strategy", "weight", "model")}
        arm |= lists_form.variety_sent(form, f"arms-{n}-")
        typed["arms"].append({**arm, "params": params})
    for group in ("audience", "exclude"):
        typed[group] = traffic_form.rows(form, group, ("attribute", "op", "value"))
    typed["overrides"] = traffic_form.rows(form, "overrides", ("unit", "arm"))
    typed["ramp"] = traffic_form.rows(form, "ramp", ("traffic", "hours"))
    typed["sticky"] = form.get("sticky") == "on"
    typed["analysis"] = analysis_form.sent(form)
    return typed


def payload(
    typed: Typed, strategies: Sequence[JSON], models: Sequence[JSON] | None = None
) -> tuple[JSON, list[Problem]]:
    """The experiment that was meant, and what is wrong with it as far as a form can tell.

    `models` are the versions that arms can be pinned to; without them the platform alone knows what is there.
    """
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
    ramp, ramp_problems = traffic_form.ramp(typed["ramp"])
    traffic = ramp[0]["traffic"] if ramp else percent(typed["traffic"])
    if traffic is None:
        wrong("traffic", typed["traffic"], "must be above 0 and up to 100 percent")
    if typed["layer"] and not KEY.fullmatch(typed["layer"]):
        wrong("layer", typed["layer"], KEY_RULE)
    days: int | None = None
    if typed["planned_days"]:
        planned = number(typed["planned_days"])
        if planned is None or planned != int(planned) or not 1 <= planned <= 365:
            wrong("planned_days", typed["planned_days"], "must be a whole number of days from 1 to 365")
        else:
            days = int(planned)
    if not typed["primary"]:
        wrong("metrics.primary", "", "is needed: the one metric that decides")
    audience, audience_problems = to_condition(typed["audience"], typed["audience_json"])
    exclude, exclude_problems = to_condition(typed["exclude"], typed["exclude_json"], "exclude", enough=True)
    arms, arm_problems = _arms(typed, strategies, models)
    analysis, analysis_problems = analysis_form.payload(typed["analysis"])
    if analysis["regime"] == "group_sequential" and not typed["planned_days"]:
        wrong("planned_days", "", "is needed for planned looks: they are spaced evenly over it")
    testers, tester_problems = traffic_form.overrides(typed["overrides"], [arm["key"] for arm in arms])
    others = [m for m in typed["secondary"] if m != typed["primary"]]
    guards = [m for m in typed["guardrails"] if m != typed["primary"] and m not in others]
    built: JSON = {
        "key": key, "name": typed["name"], "hypothesis": typed["hypothesis"], "placement": typed["placement"],
        "layer": typed["layer"] or None, "traffic": traffic or 0.0, "ramp": ramp, "sticky": typed["sticky"],
        "audience": audience, "exclude": exclude, "overrides": testers, "arms": arms, "planned_days": days,
        "metrics": {"primary": typed["primary"], "secondary": others, "guardrails": guards}, "note": typed["note"],
        "analysis": analysis,
    }  # fmt: skip
    problems += arm_problems + audience_problems + exclude_problems + tester_problems + ramp_problems
    return built, problems + analysis_problems


def _arms(typed: Typed, strategies: Sequence[JSON], models: Sequence[JSON] | None) -> tuple[list[JSON], list[Problem]]:
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
        weight = number(arm["weight"])
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
        pinned, wrong = lists_form.model(arm["model"], arm["strategy"], models, path + "model")
        rerank, uneven = lists_form.variety(arm, path + "rerank.")
        problems += wrong + uneven
        arms.append({"key": key, "strategy": arm["strategy"], "params": params, "weight": round((weight or 0) / 100, 6),
                     "control": str(n) == typed["control"], "model": pinned, "rerank": rerank})  # fmt: skip
    if len(arms) < 2:
        rule = "must be at least two: a control and one to compare"
        problems.append({"field": "arms", "value": len(arms), "rule": rule})
    elif abs(total - 100) > 0.05:
        rule = "must have weights that add up to 100 percent"
        problems.append({"field": "arms", "value": f"{total:g}", "rule": rule})
    if arms and not any(arm["control"] for arm in arms):
        problems.append({"field": "control", "value": typed["control"], "rule": "must be one of the arms"})
    return arms, problems
