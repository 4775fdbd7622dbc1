"""Strategies that are installed, their parameters, and the models trained from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from markupsafe import Markup

from . import model_table, schema_form
from .backend import JSON, Invalid, NotFound, Problem, Refused, backend
from .frame import Answer, actor, done, manager_only, refused
from .offline import metric_label, open_work, state_of


def _page(problems: list[Problem] | None = None, at: str = "", typed: Mapping[str, Any] | None = None) -> str:
    platform, work = backend(), open_work()
    versions: dict[str, list[JSON]] = {}
    for model in platform.models():
        versions.setdefault(model["strategy"], []).append(model)
    chosen = request.args.get("like", "")
    strategies = [
        {**s, **_form(s, versions.get(s["key"], []), chosen, typed if s["key"] == at else None),
         "columns": model_table.metric_columns(versions.get(s["key"], [])),
         "rows": model_table.rows(versions.get(s["key"], []))}
        for s in platform.strategies()
    ]  # fmt: skip
    return render_template(
        "pages/strategies.html", strategies=strategies, schema_form=schema_form, offline=platform.offline(),
        metric_names=_metric_names(), metric_label=metric_label, work=work, state=state_of(work),
        problems=problems or [], at=at,
    )  # fmt: skip


def _form(strategy: JSON, versions: list[JSON], chosen: str, typed: Mapping[str, Any] | None) -> JSON:
    """The fields of a new training: as typed, else of the model `chosen`, else of the newest that is active."""
    like = next((v for v in versions if v["id"] == chosen), None)
    origin = like or next((v for v in versions if v["active"]), None)
    values = typed if typed is not None else origin["params"] if origin else None
    return {"fields": schema_form.fields(strategy["schema"], values), "open": typed is not None or like is not None,
            "origin": origin if typed is None and strategy["schema"].get("properties") else None}  # fmt: skip


def _metric_names() -> dict[str, str]:
    return {metric["key"]: metric["name"] for metric in backend().metrics()}


def strategies() -> Answer:
    """All of them, each with its parameters and versions; `?like=MODEL` opens the form with that model's parameters."""
    return _page()


def state() -> Response:
    """For the script that waits beside an open page."""
    return jsonify(state=state_of(open_work()))


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
            text = Markup("{} is being trained; this page shows the model when it is there. Its run is among the {}.")
            done(text.format(strategy["title"], _jobs("train")))
            return redirect(url_for("pages.strategies") + f"#{key}")
    typed = {k.removeprefix("params-"): v for k, v in request.form.items() if k.startswith("params-")}
    return _page(problems, key, typed), 422


def _jobs(task: str) -> Markup:
    return Markup('<a href="{}">jobs</a>').format(url_for("pages.jobs", task=task))


def train_again(key: str) -> Answer:
    """Who reloads a refused form by its address comes to the strategy."""
    return redirect(url_for("pages.strategies") + f"#{key}")


@manager_only
def evaluate() -> Answer:
    """Have strategies evaluated offline: those of the form, or everything that is in use, filled up as served."""
    wanted: JSON = {"strategies": request.form.getlist("strategies"), "split": request.form.get("split") or None}
    fallback = request.form.get("fallback", "")
    if fallback:
        wanted["fallback"] = None if fallback == "none" else fallback
    try:
        backend().evaluate(wanted, actor())
    except Invalid as error:
        refused("; ".join(f"{p['field']} {p['rule']}" for p in error.problems))
        return redirect(url_for("pages.offline_page"))
    done(Markup("Strategies are being evaluated. The run is among the {}.").format(_jobs("evaluate")))
    return redirect(url_for("pages.offline_page" if request.form.get("then") == "offline" else "pages.strategies"))


@manager_only
def activate(model_id: str) -> Answer:
    """Serve this version from now on."""
    try:
        model = backend().activate(model_id, actor())
    except Refused as error:
        refused(str(error))
        return redirect(url_for("pages.strategies"))
    done(f"{model['strategy']}@{model['version']} is active from now on.")
    return redirect(url_for("pages.strategies") + f"#{model['strategy']}")


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/strategies", view_func=strategies)
    pages.add_url_rule("/strategies/state", "strategies_state", state)
    pages.add_url_rule("/strategies/evaluate", "evaluate", evaluate, methods=["POST"])
    pages.add_url_rule("/strategies/<key>/train", "train", train, methods=["POST"])
    pages.add_url_rule("/strategies/<key>/train", "train_again", train_again)
    pages.add_url_rule("/models/<path:model_id>/activate", "activate", activate, methods=["POST"])
