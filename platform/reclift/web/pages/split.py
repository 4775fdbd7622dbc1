"""Changing how a running experiment's users are split: a new phase, other weights, another ramp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from . import present, traffic_form
from .backend import JSON, Invalid, Problem, Refused, backend
from .frame import Answer, actor, done, manager_only, refused

BLANKS = 3
"""Empty rows under a ramp's steps, for more of them."""


def _running(key: str) -> JSON:
    """An experiment whose split can change: it runs or pauses, serves users here, and is no holdout."""
    experiment = backend().experiment(key)
    name = experiment["name"]
    if experiment.get("kind") == "holdout":
        raise Refused(f"{name} is a holdout: its share is fixed.")
    if experiment["status"] not in {"running", "paused"}:
        raise Refused(f"{name} is {experiment['status']}: its split can change only while it runs or is paused.")
    return experiment


def _page(mode: str, experiment: JSON, typed: Mapping[str, Any], problems: list[Problem], code: int = 200) -> Answer:
    page = render_template(
        "pages/phase.html", mode=mode, experiment=experiment, typed=typed, problems=problems,
        colours=present.arm_colours(experiment["arms"]),
    )  # fmt: skip
    return page, code


def _stored(experiment: JSON) -> JSON:
    shares = present.weight_shares(experiment["arms"])
    weights = {arm: f"{share * 100:.6g}" for arm, share in shares.items()}
    return {"weights": weights, "traffic": f"{experiment['traffic'] * 100:g}", "note": ""}


def _back(key: str) -> Answer:
    return redirect(url_for("pages.experiment", key=key) + "#split")


@manager_only
def phase(key: str) -> Answer:
    """The form for a new phase; it says that everybody is hashed anew."""
    experiment = _running(key)
    return _page("phase", experiment, _stored(experiment), [])


@manager_only
def start_phase(key: str) -> Answer:
    """Begin it."""
    experiment = _running(key)
    weights, typed, problems = traffic_form.weights(request.form, [arm["key"] for arm in experiment["arms"]])
    text, note = (request.form.get(name, "").strip() for name in ("traffic", "note"))
    traffic = traffic_form.percent(text)
    if traffic is None:
        problems.append({"field": "traffic", "value": text, "rule": "must be above 0 and up to 100 percent"})
    shown = {"weights": typed, "traffic": text, "note": note}
    if problems:
        return _page("phase", experiment, shown, problems, 422)
    try:
        after = backend().start_phase(key, {"weights": weights, "traffic": traffic, "note": note}, actor())
    except Invalid as error:
        return _page("phase", experiment, shown, error.problems, 422)
    except Refused as error:
        return _page("phase", experiment, shown, [{"field": "traffic", "value": text, "rule": str(error)}], 409)
    done(f"Phase {after['phase']} of {after['name']} has begun: users are hashed anew, and its report begins empty.")
    return _back(key)


@manager_only
def weights(key: str) -> Answer:
    """The form for other weights, where assignment is sticky."""
    experiment = _sticky(key)
    return _page("weights", experiment, _stored(experiment), [])


@manager_only
def change_weights(key: str) -> Answer:
    """Change them for who is yet to come."""
    experiment = _sticky(key)
    shares, typed, problems = traffic_form.weights(request.form, [arm["key"] for arm in experiment["arms"]])
    if problems:
        return _page("weights", experiment, {"weights": typed}, problems, 422)
    try:
        backend().change_weights(key, shares, actor())
    except Invalid as error:
        return _page("weights", experiment, {"weights": typed}, error.problems, 422)
    done(f"The weights of {experiment['name']} hold for users who come from now on.")
    return _back(key)


def _sticky(key: str) -> JSON:
    experiment = _running(key)
    if not experiment["sticky"]:
        raise Refused(
            f"{experiment['name']} is not sticky: other weights would move users who are in. Begin a new phase instead."
        )
    return experiment


def _ramp_page(experiment: JSON, typed: traffic_form.Rows, problems: list[Problem], code: int = 200) -> Answer:
    rows = [*typed, *({"traffic": "", "hours": ""} for _ in range(BLANKS))]
    return render_template("pages/ramp.html", experiment=experiment, typed=rows, problems=problems), code


def _not_over(key: str) -> JSON:
    experiment = backend().experiment(key)
    if experiment["status"] in {"stopped", "archived"} or experiment.get("kind") == "holdout":
        raise Refused(f"{experiment['name']} has no traffic to plan any more.")
    return experiment


@manager_only
def ramp(key: str) -> Answer:
    """The form for its ramp."""
    experiment = _not_over(key)
    return _ramp_page(experiment, traffic_form.ramp_rows(experiment["ramp"]), [])


@manager_only
def plan_ramp(key: str) -> Answer:
    """Take another ramp, or none."""
    experiment = _not_over(key)
    typed = [row for row in traffic_form.rows(request.form, "ramp", ("traffic", "hours")) if any(row.values())]
    steps, problems = traffic_form.ramp(typed)
    if problems:
        return _ramp_page(experiment, typed, problems, 422)
    try:
        backend().plan_ramp(key, steps, actor())
    except Invalid as error:
        return _ramp_page(experiment, typed, error.problems, 422)
    done(f"The ramp of {experiment['name']} is saved." if steps else f"{experiment['name']} has no ramp any more.")
    return _back(key)


@manager_only
def change_tester(key: str) -> Answer:
    """One more person who tests, or another arm for one; without an arm the person is taken off the list."""
    experiment = _running(key)
    unit, arm = (request.form.get(name, "").strip() for name in ("unit", "arm"))
    others = {name: at for name, at in experiment["overrides"].items() if name != unit}
    if not unit:
        refused("A person who tests needs a user id, as the shop sends it.")
        return _back(key)
    if not arm and unit not in experiment["overrides"]:
        refused(f"{unit} is not on the list of people who test.")
        return _back(key)
    try:
        backend().change_experiment(key, {"overrides": {**others, unit: arm} if arm else others}, actor())
    except Invalid as error:
        refused("; ".join(f"{problem['field']} {problem['rule']}" for problem in error.problems))
    else:
        done(f"{unit} sees {arm} from now on." if arm else f"{unit} is treated like everybody from now on.")
    return _back(key)


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    for name, show, take, label in (
        ("phase", phase, start_phase, "start_phase"),
        ("weights", weights, change_weights, "change_weights"),
        ("ramp", ramp, plan_ramp, "plan_ramp"),
    ):
        rule = f"/experiments/<key>/{name}"
        pages.add_url_rule(rule, name, show)
        pages.add_url_rule(rule, label, take, methods=["POST"])
    pages.add_url_rule("/experiments/<key>/testers", "change_tester", change_tester, methods=["POST"])
