"""What the experiment form computes as one types: sizes and check-list, and the lists that one person would see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, render_template, request

from reclift.stats.decision import WORTHWHILE_LIFT

from . import experiment_form, look, present
from .backend import JSON, Invalid, NotFound, Problem, Refused, backend
from .check_list import checks
from .frame import Answer, manager_only

LOOK_FIELDS = ("arms", "audience", "exclude", "overrides", "placement", "control", "traffic", "ramp", "layer")
"""What must be right before lists can be shown; the rest of the form may still be open."""


def _typed() -> tuple[experiment_form.Typed, JSON, list[Problem]]:
    typed = experiment_form.from_form(request.form)
    payload, problems = experiment_form.payload(typed, backend().strategies(), backend().models())
    return typed, payload, problems


@manager_only
def plan() -> Answer:
    """Sizes, duration and the check-list for the form as it stands: a part of a page."""
    _, payload, problems = _typed()
    platform = backend()
    power, reason = _power(payload)
    placement = next((p for p in platform.placements() if p["key"] == payload["placement"]), None)
    others = [
        e for e in platform.experiments("running")
        if e["placement"] == payload["placement"] and e["key"] != payload["key"] and e["source"] != "imported"
        and e["kind"] != "holdout"
    ]  # fmt: skip
    metric = next((m for m in platform.metrics() if m["key"] == payload["metrics"]["primary"]), None)
    strategies = {s["key"]: s for s in platform.strategies()}
    return render_template(
        "pages/_plan.html", power=power, reason=reason, payload=payload, metric=metric,
        stated=payload["analysis"]["minimum_effect"] is not None,
        checks=checks(payload, problems, power, placement, others, platform.models(), strategies),
    )  # fmt: skip


def _power(payload: JSON) -> tuple[JSON | None, str | None]:
    """What the platform computes, or why nothing can be asked."""
    analysis = payload["analysis"]
    traffic = max([payload["traffic"], *(step["traffic"] for step in payload["ramp"])])
    if not payload["placement"] or not payload["metrics"]["primary"]:
        return None, "Choose a placement and a primary metric first."
    if len(payload["arms"]) < 2 or not traffic:
        return None, "It takes two arms and some traffic."
    arms = sorted(payload["arms"], key=lambda arm: not arm["control"])
    weights = [arm["weight"] for arm in arms]
    if not all(weights):
        return None, "Every arm needs a weight."
    # Planned looks cost hardly more users than one. A fixed plan without an end is read in the always-valid way.
    always_valid = analysis["regime"] == "sequential" or not payload["planned_days"]
    question = {
        "placement": payload["placement"], "metric": payload["metrics"]["primary"], "arms": len(arms),
        "weights": weights, "effect": analysis["minimum_effect"] or WORTHWHILE_LIFT, "traffic": traffic,
        "level": analysis["level"], "regime": "sequential" if always_valid else "fixed", "tuning": analysis["tuning"],
        "days": payload["planned_days"], "corrected": analysis["correction_primary"] != "none",
        "audience": payload["audience"] or {}, "exclude": payload["exclude"] or {},
        "cuped": analysis["cuped"], "cuped_days": analysis["cuped_days"],
    }  # fmt: skip
    try:
        answer = backend().power(question)
    except Invalid as error:
        return None, "; ".join(f"the {problem['field']} {problem['rule']}." for problem in error.problems)
    except (NotFound, Refused) as error:
        return None, str(error)
    return answer, present.reason(answer, "units") if answer["units"] is None else None


@manager_only
def look_as() -> Answer:
    """The lists of the form's arms, for one person: a part of the form's page, or a page of its own without scripts."""
    typed, payload, problems = _typed()
    unnamed = not experiment_form.KEY.fullmatch(payload["key"])
    wanted = [p for p in problems if p["field"].split(".")[0] in LOOK_FIELDS]
    if unnamed:
        payload["key"] = "no-name-yet"
    payload["name"] = payload["name"] or payload["key"]
    needed = {"key", "name", "placement", "traffic", "audience", "exclude", "overrides", "arms", "layer", "sticky"}
    asked = {name: value for name, value in payload.items() if name in needed}
    return _look(asked, request.form, wanted, title=typed["name"] or "New experiment", unnamed=unnamed)


def look_saved(key: str) -> Answer:
    """The lists of an experiment's arms, for one person."""
    experiment = backend().experiment(key)
    if experiment.get("kind") == "holdout":
        raise Refused(f"{experiment['name']} is a holdout: it has no lists of its own.")
    if experiment["source"] == "imported":
        raise Refused(f"{experiment['name']} ran elsewhere: its lists are not made here.")
    if not any(name.startswith(look.PREFIX) for name in request.args):
        return _page(experiment, look.sent({}), [], None)
    return _look(experiment, request.args, [], title=experiment["name"], saved=experiment)


def _look(
    experiment: Mapping[str, Any], form: Mapping[str, str], problems: list[Problem], *, title: str,
    saved: JSON | None = None, unnamed: bool = False,
) -> Answer:  # fmt: skip
    typed = look.sent(form)
    viewer, wrong = look.viewer(typed)
    problems = [*problems, *wrong]
    found = None
    if not problems:
        try:
            found = look.side_by_side(backend().look_as(experiment, viewer))
        except Invalid as error:
            problems = error.problems
        except (NotFound, Refused) as error:
            problems = [{"field": "placement", "value": experiment["placement"], "rule": str(error)}]
    return _page(saved or {**experiment, "name": title, "status": "draft"}, typed, problems, found, unnamed=unnamed)


def _page(
    experiment: Mapping[str, Any], typed: look.Typed, problems: list[Problem], found: JSON | None, *,
    unnamed: bool = False,
) -> Answer:  # fmt: skip
    part = request.headers.get("X-Part") == "1"
    page = render_template(
        "pages/_look.html" if part else "pages/look.html", experiment=experiment, typed=typed, problems=problems,
        found=found, unnamed=unnamed, colours=present.arm_colours(experiment["arms"]),
        saved=bool(request.view_args), people=[] if part else backend().people_lately(),
    )  # fmt: skip
    # A part says itself what is wrong; browsers would log a 422 as a fault of the page.
    return page, 422 if problems and not part else 200


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/experiments/new/plan", "plan", plan, methods=["POST"])
    pages.add_url_rule("/experiments/new/look", "look_as", look_as, methods=["POST"])
    pages.add_url_rule("/experiments/<key>/look", "look_saved", look_saved)
