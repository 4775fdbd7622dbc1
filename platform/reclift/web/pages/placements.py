"""Placements: what each shows outside of experiments, and how its lists are shaped."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from reclift.flows.placements import MOST_EXPLORED, SEEN

from . import lists_form, schema_form, traffic_form
from .backend import JSON, Invalid, NotFound, Problem, Refused, backend
from .experiment_form import KEY, KEY_RULE, slug
from .frame import Answer, actor, done, manager_only

Typed = dict[str, Any]

_BLANK: Typed = {"key": "", "name": "", "strategy": "", "fallback": [], "seen": "bought", "explore": "", "balance": "",
                 "category_cap": "", "params": {}}  # fmt: skip


def placements() -> Answer:
    """Placements with what they serve by default."""
    return render_template("pages/placements.html", placements=backend().placements())


def _page(typed: Typed, problems: list[Problem], key: str | None, code: int = 200) -> Answer:
    rows = [row for row in typed["fallback"] if row["strategy"] or row["params"]][: lists_form.MOST_FALLBACKS]
    rows += [{"strategy": "", "params": ""}] * (max(2, min(len(rows) + 1, lists_form.MOST_FALLBACKS)) - len(rows))
    strategies = backend().strategies()
    page = render_template(
        "pages/placement.html", typed={**typed, "fallback": rows}, problems=problems, editing=key, seen=SEEN,
        strategies=strategies, fields_of={s["key"]: s["schema"] for s in strategies}, schema_form=schema_form,
        most_explored=MOST_EXPLORED,
    )  # fmt: skip
    return page, code


def _stored(key: str) -> JSON:
    found = next((p for p in backend().placements() if p["key"] == key), None)
    if found is None:
        raise NotFound(f"There is no placement {key!r}.")
    return found


@manager_only
def placement_form(key: str | None = None) -> Answer:
    """The form for a placement that is there, or for a new one."""
    if key is None:
        return _page(dict(_BLANK), [], None)
    found = _stored(key)
    explore = found.get("explore") or 0.0
    typed = {
        **{name: found[name] for name in ("key", "name", "strategy", "seen")},
        "fallback": lists_form.chain_shown(found["fallback"]), "explore": f"{explore * 100:.10g}" if explore else "",
        **lists_form.variety_shown(found.get("rerank")), "params": found.get("params") or {},
    }  # fmt: skip
    return _page(typed, [], key)


def _sent() -> Typed:
    form = request.form
    typed: Typed = {name: form.get(name, "").strip() for name in ("key", "name", "strategy", "seen", "explore")}
    typed["fallback"] = traffic_form.rows(form, "fallback", ("strategy", "params"))
    typed["params"] = {name[7:]: str(value) for name, value in form.items() if name.startswith("params-")}
    return typed | lists_form.variety_sent(form, "")


def _payload(typed: Typed) -> tuple[JSON, list[Problem]]:
    """What was meant, and what is wrong with it as far as a form can tell; without the key."""
    problems: list[Problem] = []
    if not typed["name"]:
        problems.append({"field": "name", "value": "", "rule": "is needed: what people call this place"})
    if not typed["strategy"]:
        problems.append({"field": "strategy", "value": "", "rule": "is needed: what is shown outside of experiments"})
    if typed["seen"] not in SEEN:
        problems.append({"field": "seen", "value": typed["seen"], "rule": f"must be one of {', '.join(SEEN)}"})
    explore = traffic_form.number(typed["explore"] or "0")
    if explore is None or not 0 <= explore <= MOST_EXPLORED * 100:
        rule = f"must be a share of the places from 0 to {MOST_EXPLORED * 100:g} percent"
        problems.append({"field": "explore", "value": typed["explore"], "rule": rule})
    fallback, wrong = lists_form.chain(typed["fallback"])
    rerank, uneven = lists_form.variety(typed, "rerank.")
    schema: JSON = next((s["schema"] for s in backend().strategies() if s["key"] == typed["strategy"]), {})
    params, untrue = schema_form.parse(schema, typed["params"], "", "params.")
    built = {"name": typed["name"], "strategy": typed["strategy"], "params": params, "fallback": fallback,
             "seen": typed["seen"], "rerank": rerank, "explore": round((explore or 0.0) / 100, 6)}  # fmt: skip
    return built, [*problems, *untrue, *wrong, *uneven]


@manager_only
def save_placement(key: str | None = None) -> Answer:
    """Take the form."""
    typed = _sent()
    payload, problems = _payload(typed)
    new_key = key or typed["key"] or slug(typed["name"])
    if not KEY.fullmatch(new_key):
        problems.append({"field": "key", "value": new_key, "rule": KEY_RULE})
    elif key is None and any(p["key"] == new_key for p in backend().placements()):
        problems.append({"field": "key", "value": new_key, "rule": "is taken by another placement"})
    if problems:
        return _page(typed, problems, key, 422)
    if key is not None and not typed["params"] and _stored(key)["strategy"] == typed["strategy"]:
        del payload["params"]  # none were shown: they stay as they are
    try:
        backend().save_placement(new_key, payload, actor())
    except Invalid as error:
        return _page(typed, error.problems, key, 422)
    except Refused as error:
        return _page(typed, [{"field": "name", "value": typed["name"], "rule": str(error)}], key, 409)
    done(f"The placement {payload['name']} is saved.")
    return redirect(url_for("pages.placements"))


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/placements", view_func=placements)
    pages.add_url_rule("/placements/new", "new_placement", placement_form)
    pages.add_url_rule("/placements/new", "create_placement", save_placement, methods=["POST"])
    pages.add_url_rule("/placements/<key>", "placement", placement_form)
    pages.add_url_rule("/placements/<key>", "save_placement", save_placement, methods=["POST"])
