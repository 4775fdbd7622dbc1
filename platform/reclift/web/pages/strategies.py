"""Strategies that are installed, their parameters, and the models trained from them."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from . import schema_form
from .backend import Invalid, NotFound, Problem, Refused, backend
from .frame import Answer, actor, done, manager_only, refused


def _page(problems: list[Problem] | None = None, at: str = "", typed: Any = None) -> str:
    platform = backend()
    models = platform.models()
    by_strategy: dict[str, list[dict[str, Any]]] = {}
    for model in models:
        by_strategy.setdefault(model["strategy"], []).append(model)
    return render_template(
        "pages/strategies.html", strategies=platform.strategies(), models=by_strategy, schema_form=schema_form,
        offline=platform.offline(),
        problems=problems or [], at=at, typed=typed or {},
    )  # fmt: skip


def strategies() -> Answer:
    """All of them, each with its parameters and versions."""
    return _page()


@manager_only
def train(key: str) -> Answer:
    """Have a new version trained with the parameters of the form."""
    platform = backend()
    strategy = next((s for s in platform.strategies() if s["key"] == key), None)
    if strategy is None:
        raise NotFound(f"There is no strategy {key!r}.")
    params, problems = schema_form.parse(strategy["schema"], request.form, "params-", "params.")
    if not problems:
        try:
            platform.train(key, params, actor())
        except Invalid as error:
            problems = error.problems
        else:
            done(f"{strategy['title']} is being trained; its run is among the jobs.")
            return redirect(url_for("pages.strategies") + f"#{key}")
    typed = {k.removeprefix("params-"): v for k, v in request.form.items() if k.startswith("params-")}
    return _page(problems, key, typed), 422


@manager_only
def evaluate() -> Answer:
    """Have everything that is in use evaluated offline."""
    backend().evaluate(actor())
    done("Strategies are being evaluated; the run is among the jobs.")
    return redirect(url_for("pages.strategies") + "#offline")


@manager_only
def activate(model_id: str) -> Answer:
    """Serve this version from now on."""
    try:
        model = backend().activate(model_id, actor())
    except Refused as error:
        refused(str(error))
        return redirect(url_for("pages.strategies"))
    done(f"{model['strategy']}@{model['version']} is served from now on.")
    return redirect(url_for("pages.strategies") + f"#{model['strategy']}")


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/strategies", view_func=strategies)
    pages.add_url_rule("/strategies/evaluate", "evaluate", evaluate, methods=["POST"])
    pages.add_url_rule("/strategies/<key>/train", "train", train, methods=["POST"])
    pages.add_url_rule("/models/<path:model_id>/activate", "activate", activate, methods=["POST"])
