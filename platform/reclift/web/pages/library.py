"""What experiments are made of: placements and the catalogue."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for

from reclift.flows.placements import SEEN

from .backend import Invalid, NotFound, Problem, backend
from .experiment_form import KEY, KEY_RULE, slug
from .frame import Answer, actor, done, manager_only, page_number


def placements() -> Answer:
    """Placements with what they serve by default."""
    return render_template("pages/placements.html", placements=backend().placements())


def _placement_page(typed: dict[str, object], problems: list[Problem], key: str | None, code: int = 200) -> Answer:
    page = render_template(
        "pages/placement.html", typed=typed, problems=problems, editing=key, seen=SEEN,
        strategies=backend().strategies(),
    )  # fmt: skip
    return page, code


@manager_only
def placement_form(key: str | None = None) -> Answer:
    """The form for a placement that is there, or for a new one."""
    if key is None:
        return _placement_page({"key": "", "name": "", "strategy": "", "fallback": [], "seen": "bought"}, [], None)
    found = next((p for p in backend().placements() if p["key"] == key), None)
    if found is None:
        raise NotFound(f"There is no placement {key!r}.")
    return _placement_page(found, [], key)


@manager_only
def save_placement(key: str | None = None) -> Answer:
    """Take the form."""
    form = request.form
    typed: dict[str, object] = {name: form.get(name, "").strip() for name in ("key", "name", "strategy", "seen")}
    typed["fallback"] = [s for s in form.getlist("fallback") if s and s != typed["strategy"]]
    problems: list[Problem] = []
    name = str(typed["name"])
    new_key = key or str(typed["key"]) or slug(name)
    if not name:
        problems.append({"field": "name", "value": "", "rule": "is needed: what people call this place"})
    if not KEY.fullmatch(new_key):
        problems.append({"field": "key", "value": new_key, "rule": KEY_RULE})
    elif key is None and any(p["key"] == new_key for p in backend().placements()):
        problems.append({"field": "key", "value": new_key, "rule": "is taken by another placement"})
    if not typed["strategy"]:
        problems.append({"field": "strategy", "value": "", "rule": "is needed: what is shown outside of experiments"})
    if typed["seen"] not in SEEN:
        problems.append({"field": "seen", "value": typed["seen"], "rule": f"must be one of {', '.join(SEEN)}"})
    if problems:
        return _placement_page(typed, problems, key, 422)
    payload = {"name": name, "strategy": typed["strategy"], "fallback": typed["fallback"], "seen": typed["seen"]}
    before = next((p for p in backend().placements() if p["key"] == key), None)
    if before is not None and before["strategy"] != typed["strategy"]:
        payload["params"] = {}  # they were the other strategy's
    try:
        backend().save_placement(new_key, payload, actor())
    except Invalid as error:
        return _placement_page(typed, error.problems, key, 422)
    done(f"The placement {name} is saved.")
    return redirect(url_for("pages.placements"))


def catalogue() -> Answer:
    """The shop's items."""
    query = request.args.get("q", "").strip()
    return render_template("pages/catalogue.html", query=query, found=backend().items(query, page_number()))


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/placements", view_func=placements)
    pages.add_url_rule("/placements/new", "new_placement", placement_form)
    pages.add_url_rule("/placements/new", "create_placement", save_placement, methods=["POST"])
    pages.add_url_rule("/placements/<key>", "placement", placement_form)
    pages.add_url_rule("/placements/<key>", "save_placement", save_placement, methods=["POST"])
    pages.add_url_rule("/catalogue", view_func=catalogue)
