"""Metrics: what is measured, how each is defined and used, and the form that makes new ones."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, redirect, render_template, request, url_for

from reclift.domain.metric import Metric
from reclift.domain.metric_words import choices, hours, kind_words, kinds, sentence, value_words

from . import metric_form
from .backend import JSON, Invalid, NotFound, Problem, Refused, backend
from .frame import Answer, actor, done, manager_only


def metrics() -> Answer:
    """All of them, with who uses which."""
    return render_template(
        "pages/metrics.html", metrics=backend().metrics(), uses=backend().metric_uses(), kind_words=kind_words
    )


def _find(key: str) -> JSON:
    found = next((metric for metric in backend().metrics() if metric["key"] == key), None)
    if found is None:
        raise NotFound(f"There is no metric {key!r}.")
    return found


def metric(key: str) -> Answer:
    """One metric: its definition in words and as the API has it, where it is used, who made it."""
    return render_template(
        "pages/metric.html", metric=_find(key), uses=backend().metric_uses().get(key, []), hours=hours,
        kind_words=kind_words, value_words=value_words(), extras=metric_form.extras(),
        history=backend().audit(f"metric:{key}"),
    )  # fmt: skip


def _form(typed: metric_form.Typed, problems: list[Problem], code: int = 200, source: JSON | None = None) -> Answer:
    definition, wrong = metric_form.definition(typed)
    page = render_template(
        "pages/metric_form.html", typed=typed, problems=problems, kinds=kinds(), values=value_words(),
        formats=choices(Metric, "format"), format_words=metric_form.FORMATS, measures=metric_form.MEASURES,
        extras=metric_form.extras(), events=sorted({*backend().event_types(), "impression"}), copied=source,
        sentence=None if _but_name(wrong) else _words(definition),
    )  # fmt: skip
    return page, code


def _but_name(wrong: list[Problem]) -> list[Problem]:
    """What keeps the sentence from being said: not that it has no name yet."""
    return [problem for problem in wrong if problem["field"] not in {"name", "key"}]


def _words(definition: dict[str, Any]) -> str:
    return sentence(Metric.from_dict({**definition, "key": "key"}))


@manager_only
def new_metric() -> Answer:
    """An empty form, or one that begins as a copy."""
    copy = request.args.get("copy", "").strip()
    if not copy:
        return _form(metric_form.blank(), [])
    found = _find(copy)
    return _form(metric_form.from_definition(found["definition"]), [], source=found)


@manager_only
def create_metric() -> Answer:
    """Take the form."""
    typed = metric_form.typed_of(request.form)
    definition, problems = metric_form.definition(typed, [each["key"] for each in backend().metrics()])
    if problems:
        return _form(typed, problems, 422)
    try:
        made = backend().create_metric(definition, actor())
    except Invalid as error:
        return _form(typed, error.problems, 422)
    except Refused as error:
        return _form(typed, [{"field": "key", "value": definition["key"], "rule": str(error)}], 422)
    done(f"The metric {made['name']} is there: experiments can choose it from now on.")
    return redirect(url_for("pages.metric", key=made["key"]))


@manager_only
def metric_words() -> Answer:
    """What the form means so far, in words, for the script that says it while one types."""
    definition, wrong = metric_form.definition(metric_form.typed_of(request.form))
    missing = _but_name(wrong)
    text = None if missing else _words(definition)
    return jsonify(
        sentence=text, problems=[f"{p['field'].replace('.', ' ').replace('_', ' ')} {p['rule']}" for p in missing]
    )


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/metrics", view_func=metrics)
    pages.add_url_rule("/metrics/new", view_func=new_metric)
    pages.add_url_rule("/metrics/new", view_func=create_metric, methods=["POST"])
    pages.add_url_rule("/metrics/words", view_func=metric_words, methods=["POST"])
    pages.add_url_rule("/metrics/<key>", view_func=metric)
