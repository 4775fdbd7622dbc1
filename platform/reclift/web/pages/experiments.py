"""The list of experiments, and making or changing one."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from reclift.domain.metric import NOT_BY_SUMS

from . import analysis_form, experiment_form, schema_form
from .audience import OPERATORS
from .backend import Invalid, Problem, Refused, backend
from .frame import Answer, actor, done, manager_only, refused

STATES = ("draft", "running", "paused", "stopped", "archived")


def experiments() -> Answer:
    """All experiments, or those in one state, or those whose name or key holds some words."""
    status = request.args.get("status")
    words = request.args.get("q", "").strip()
    everything = backend().experiments()
    counts = {state: sum(e["status"] == state for e in everything) for state in STATES}
    shown = [e for e in everything if (e["status"] == status if status in STATES else e["status"] != "archived")]
    if words:
        low = words.lower()
        shown = [e for e in shown if low in f"{e['key']} {e['name']} {e['placement']}".lower()]
    return render_template(
        "pages/experiments.html", experiments=shown, counts=counts, status=status, words_asked=words, states=STATES,
        total=len(everything),
    )  # fmt: skip


def _form_page(
    typed: experiment_form.Typed, problems: list[Problem], key: str | None, code: int = 200
) -> tuple[str, int]:
    platform = backend()
    strategies = platform.strategies()
    page = render_template(
        "pages/experiment_form.html", typed=typed, problems=problems, editing=key, placements=platform.placements(),
        strategies=strategies, metrics=platform.metrics(), not_primary=NOT_BY_SUMS,
        operators=OPERATORS,
        layers=platform.layers(), groups=platform.groups(), models=platform.models(),
        regimes=analysis_form.REGIMES, families=analysis_form.FAMILIES, corrections=analysis_form.CORRECTIONS,
        blank_arm=experiment_form.BLANK_ARM,
        fields_of={s["key"]: s["schema"] for s in strategies}, schema_form=schema_form,
    )  # fmt: skip
    return page, code


@manager_only
def new_experiment() -> Answer:
    """The form for a new experiment."""
    platform = backend()
    copied = request.args.get("copy")
    if copied:
        typed = experiment_form.from_experiment(platform.experiment(copied))
        typed.update(key="", name=f"{typed['name']} (copy)", note="", version="")
    else:
        typed = experiment_form.blank(platform.placements(), platform.metrics())
    return _form_page(typed, [], None)


@manager_only
def create() -> Answer:
    """Take the form: keep a draft, and start it when that was asked for."""
    typed = experiment_form.from_form(request.form)
    payload, problems = experiment_form.payload(typed, backend().strategies(), backend().models())
    if problems:
        return _form_page(typed, problems, None, 422)
    try:
        experiment = backend().create_experiment(payload, actor())
    except Invalid as error:
        return _form_page(typed, error.problems, None, 422)
    return _after(experiment["key"], experiment["name"])


@manager_only
def edit(key: str) -> Answer:
    """The form for a draft."""
    experiment = backend().experiment(key)
    if experiment.get("kind") == "holdout":
        raise Refused(f"{experiment['name']} is a holdout: it is not changed here, it is made anew.")
    if experiment["status"] != "draft":
        raise Refused(f"{experiment['name']} is {experiment['status']}: only a draft can be changed as a whole.")
    return _form_page(experiment_form.from_experiment(experiment), [], key)


@manager_only
def save(key: str) -> Answer:
    """Take the form of a draft."""
    typed = experiment_form.from_form(request.form)
    typed["key"] = key
    payload, problems = experiment_form.payload(typed, backend().strategies(), backend().models())
    changed: dict[str, Any] = {k: v for k, v in payload.items() if k != "key"}
    if typed["version"].isdigit():
        changed["version"] = int(typed["version"])
    if problems:
        return _form_page(typed, problems, key, 422)
    try:
        experiment = backend().change_experiment(key, changed, actor())
    except Invalid as error:
        return _form_page(typed, error.problems, key, 422)
    except Refused as error:
        return _form_page(typed, [{"field": "version", "value": typed["version"], "rule": str(error)}], key, 409)
    return _after(key, experiment["name"])


def _after(key: str, name: str) -> Answer:
    if request.form.get("then") == "start":
        try:
            backend().act(key, "start", actor())
        except (Refused, Invalid) as error:
            refused(f"The draft of {name} is kept, but it did not start: {error}")
        else:
            done(f"{name} is running: users are being assigned from now on.")
    else:
        done(f"The draft of {name} is kept. Nothing is shown to users before it starts.")
    return redirect(url_for("pages.experiment", key=key))


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/experiments", view_func=experiments)
    pages.add_url_rule("/experiments/new", view_func=new_experiment)
    pages.add_url_rule("/experiments/new", "create", create, methods=["POST"])
    pages.add_url_rule("/experiments/<key>/edit", "edit", edit)
    pages.add_url_rule("/experiments/<key>/edit", "save", save, methods=["POST"])
