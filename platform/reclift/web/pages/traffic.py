"""How traffic is split beyond one experiment: layers with their free space, holdouts, saved groups."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from reclift.domain.metric import NOT_BY_SUMS

from . import audience, traffic_form
from .backend import JSON, Invalid, NotFound, Problem, Refused, backend
from .experiment_form import FIRST_CHOICE, KEY, KEY_RULE, slug
from .frame import Answer, actor, done, manager_only, refused

MAX_HOLDOUT = 50.0
"""Percent: with more there is nothing left to experiment with."""

Typed = dict[str, Any]

_BLANK_GROUP = {"key": "", "name": "", "kind": "values", "values": "", "attribute": "", "condition": ""}


def traffic() -> Answer:
    """Layers, holdouts and groups on one page."""
    return _page(_blank_holdout(), [])


def _page(typed: Typed, problems: list[Problem], code: int = 200) -> Answer:
    platform = backend()
    everything = platform.experiments()
    holdouts = [entry for entry in everything if entry.get("kind") == "holdout" and entry["status"] != "archived"]
    waiting: dict[str, list[JSON]] = {}
    for entry in everything:
        if entry.get("layer") and entry["status"] == "draft":
            waiting.setdefault(entry["layer"], []).append(entry)
    page = render_template(
        "pages/traffic.html", layers=platform.layers(), waiting=waiting, holdouts=holdouts, groups=platform.groups(),
        placements=platform.placements(), metrics=platform.metrics(),
        not_primary=NOT_BY_SUMS, typed=typed, problems=problems,
    )  # fmt: skip
    return page, code


# holdouts -------------------------------------------------------------------------------------------------------------
def _blank_holdout() -> Typed:
    known = [metric["key"] for metric in backend().metrics()]
    wanted = next((key for key in ("conversion", *FIRST_CHOICE["primary"]) if key in known), "")
    return {"name": "", "key": "", "placement": "", "share": "5", "primary": wanted, "note": ""}


@manager_only
def create_holdout() -> Answer:
    """Make a holdout as a draft, and show it."""
    typed: Typed = {name: request.form.get(name, "").strip() for name in _blank_holdout()}
    problems: list[Problem] = []
    if not typed["name"]:
        problems.append({"field": "name", "value": "", "rule": "is needed: what people will call this holdout"})
    key = typed["key"] or slug(typed["name"])
    if not KEY.fullmatch(key):
        problems.append({"field": "key", "value": typed["key"], "rule": KEY_RULE})
    share = traffic_form.percent(typed["share"])
    if share is None or share * 100 > MAX_HOLDOUT:
        rule = f"must be above 0 and at most {MAX_HOLDOUT:g} percent"
        problems.append({"field": "share", "value": typed["share"], "rule": rule})
    if not typed["primary"]:
        problems.append({"field": "primary", "value": "", "rule": "is needed: the one metric that decides"})
    if problems:
        return _page(typed, problems, 422)
    secondary = [m["key"] for m in backend().metrics() if m["key"] in {"conversion", "revenue_per_user"}]
    payload = {
        "key": key, "name": typed["name"], "placement": typed["placement"] or None, "share": share,
        "note": typed["note"],
        "metrics": {"primary": typed["primary"], "secondary": [m for m in secondary if m != typed["primary"]],
                    "guardrails": []},
    }  # fmt: skip
    try:
        holdout = backend().create_holdout(payload, actor())
    except Invalid as error:
        return _page(typed, error.problems, 422)
    done(f"The holdout {holdout['name']} is kept as a draft. Nobody is held out before it starts.")
    return redirect(url_for("pages.experiment", key=holdout["key"]))


# groups ---------------------------------------------------------------------------------------------------------------
def _group(key: str) -> JSON:
    found = next((group for group in backend().groups() if group["key"] == key), None)
    if found is None:
        raise NotFound(f"There is no saved group {key!r}.")
    return found


def _group_page(typed: Typed, problems: list[Problem], key: str | None, code: int = 200) -> Answer:
    return render_template("pages/group.html", typed=typed, problems=problems, editing=key), code


def _typed_group(group: JSON) -> Typed:
    values = group["values"]
    as_text = group["attribute"] in {None, "id"}
    return {
        "key": group["key"],
        "name": group["name"] or "",
        "kind": "values" if values is not None else "condition",
        "values": "\n".join(str(value) if as_text else audience.written(value) for value in values or ()),
        "attribute": group["attribute"] or "",
        "condition": json.dumps(group["condition"], ensure_ascii=False, indent=2) if group["condition"] else "",
    }


@manager_only
def group_form(key: str | None = None) -> Answer:
    """The form for a group that is there, or for a new one."""
    if key is None:
        return _group_page(dict(_BLANK_GROUP), [], None)
    return _group_page(_typed_group(_group(key)), [], key)


@manager_only
def save_group(key: str | None = None) -> Answer:
    """Take the form: a list of values, one a line, or a condition as JSON."""
    typed: Typed = {name: request.form.get(name, "").strip() for name in _BLANK_GROUP}
    problems: list[Problem] = []
    new_key = key or typed["key"] or slug(typed["name"])
    if not KEY.fullmatch(new_key):
        problems.append({"field": "key", "value": typed["key"], "rule": KEY_RULE})
    elif key is None and any(group["key"] == new_key for group in backend().groups()):
        problems.append({"field": "key", "value": new_key, "rule": "is taken by another group"})
    payload: JSON = {"name": typed["name"] or new_key}
    if typed["kind"] == "condition":
        payload["condition"], wrong = audience.to_condition([], typed["condition"] or "{}", "condition")
        problems += wrong
        if not wrong and not payload["condition"]:
            rule = "is needed: who fulfils it is in the group"
            problems.append({"field": "condition", "value": "", "rule": rule})
    else:
        lines = dict.fromkeys(line.strip() for line in typed["values"].splitlines() if line.strip())
        plain = typed["attribute"] in {"", "id"}  # users' ids are text, also those that look like numbers
        payload["values"] = [line if plain else audience.scalar(line) for line in lines]
        payload["attribute"] = typed["attribute"] or None
        if not lines:
            problems.append({"field": "values", "value": "", "rule": "must have one at least, each on its own line"})
    if problems:
        return _group_page(typed, problems, key, 422)
    try:
        group = backend().save_group(new_key, payload, actor())
    except Invalid as error:
        return _group_page(typed, error.problems, key, 422)
    done(f"The group {group['name']} is saved, and holds at once wherever it is used.")
    return redirect(url_for("pages.traffic") + "#groups")


@manager_only
def remove_group(key: str) -> Answer:
    """Delete a group that nothing uses; a refusal names what does."""
    name = _group(key)["name"] or key
    try:
        backend().remove_group(key, actor())
    except Refused as error:
        refused(f"{name} was not deleted: {error}.")
        return redirect(url_for("pages.group", key=key))
    done(f"The group {name} is deleted.")
    return redirect(url_for("pages.traffic") + "#groups")


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/traffic", view_func=traffic)
    pages.add_url_rule("/traffic/holdouts", "create_holdout", create_holdout, methods=["POST"])
    pages.add_url_rule("/traffic/groups/new", "new_group", group_form)
    pages.add_url_rule("/traffic/groups/new", "create_group", save_group, methods=["POST"])
    pages.add_url_rule("/traffic/groups/<key>", "group", group_form)
    pages.add_url_rule("/traffic/groups/<key>", "save_group", save_group, methods=["POST"])
    pages.add_url_rule("/traffic/groups/<key>/delete", "remove_group", remove_group, methods=["POST"])
