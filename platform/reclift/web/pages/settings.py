"""API keys, people, and what this installation is."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from .backend import Invalid, NotFound, Problem, backend
from .frame import Answer, actor, done, manager_only


def _page(code: int = 200, **more: Any) -> Answer:
    platform = backend()
    shown: dict[str, Any] = {"secret": None, "key_problems": [], "person_problems": [], "typed": {}}
    shown.update(more)
    page = render_template(
        "pages/settings.html", keys=platform.keys(), people=platform.people(), scopes=platform.scopes(), **shown
    )
    return page, code


def settings() -> Answer:
    """The page."""
    return _page()


@manager_only
def create_key() -> Answer:
    """Make an API key; its secret is in this one answer and nowhere else."""
    name = request.form.get("name", "").strip()
    scopes = request.form.getlist("scopes")
    problems: list[Problem] = []
    if not name:
        problems.append({"field": "name", "value": "", "rule": "is needed: who or what will use this key"})
    if not scopes:
        rule = "must be at least one: a key without any can do nothing"
        problems.append({"field": "scopes", "value": "", "rule": rule})
    typed = {"name": name, "scopes": scopes}
    if problems:
        return _page(422, key_problems=problems, typed=typed)
    try:
        secret = backend().create_key(name, scopes, actor())
    except Invalid as error:
        return _page(422, key_problems=error.problems, typed=typed)
    return _page(secret=secret, secret_name=name)


def _key(key_id: str) -> dict[str, Any]:
    platform = backend()
    found = next((k for k in platform.keys() if k["id"] == key_id), None)  # noqa: SIM118 (API keys, not those of a mapping)
    if found is None:
        raise NotFound("There is no such API key.")
    return found


@manager_only
def confirm_revoke(key_id: str) -> Answer:
    """Ask before a key stops working."""
    return render_template("pages/revoke_key.html", key=_key(key_id))


@manager_only
def revoke_key(key_id: str) -> Answer:
    """The key stops working at once."""
    key = _key(key_id)
    backend().revoke_key(key_id, actor())
    done(f"The API key {key['name']} is revoked; requests with it are refused from now on.")
    return redirect(url_for("pages.settings"))


@manager_only
def create_person() -> Answer:
    """Let somebody in."""
    form = request.form
    email, name, role = (form.get(field, "").strip() for field in ("email", "name", "role"))
    problems: list[Problem] = []
    if "@" not in email.strip("@"):
        problems.append({"field": "email", "value": email, "rule": "must be an e-mail address"})
    if role not in {"manager", "viewer"}:
        problems.append({"field": "role", "value": role, "rule": "must be manager or viewer"})
    password = form.get("password", "")
    typed = {"email": email, "person_name": name, "role": role}
    if len(password) < 12:
        problems.append({"field": "password", "value": "", "rule": "must have at least 12 characters"})
    if problems:
        return _page(422, person_problems=problems, typed=typed)
    try:
        backend().create_person(email, password, role, name, actor())
    except Invalid as error:
        return _page(422, person_problems=error.problems, typed=typed)
    done(f"{email} can sign in as {role}.")
    return redirect(url_for("pages.settings") + "#people")


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/settings", view_func=settings)
    pages.add_url_rule("/settings/keys", "create_key", create_key, methods=["POST"])
    pages.add_url_rule("/settings/keys/<key_id>/revoke", "confirm_revoke", confirm_revoke)
    pages.add_url_rule("/settings/keys/<key_id>/revoke", "revoke_key", revoke_key, methods=["POST"])
    pages.add_url_rule("/settings/people", "create_person", create_person, methods=["POST"])
