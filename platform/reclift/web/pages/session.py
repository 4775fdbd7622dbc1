"""Signing in and out."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask_login import current_user, login_user, logout_user
from werkzeug import Response

from .backend import backend
from .frame import Answer, SignedIn, safe_next


def sign_in() -> Answer:
    """The form, and what it sends. The answer to a wrong password does not say which of the two was wrong."""
    target = safe_next(request.values.get("next"))
    if current_user.is_authenticated:
        return redirect(target)
    if request.method == "GET":
        return render_template("pages/sign_in.html", email="", problem=None, target=target)
    email = request.form.get("email", "").strip()
    person = backend().authenticate(email, request.form.get("password", ""))
    if person is None:
        problem = "E-mail and password do not belong together."
        return render_template("pages/sign_in.html", email=email, problem=problem, target=target), 401
    session.clear()
    login_user(SignedIn(person))
    return redirect(target)


def sign_out() -> Response:
    """End the session."""
    logout_user()
    session.clear()
    return redirect(url_for("pages.sign_in"))


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/sign-in", view_func=sign_in, methods=["GET", "POST"])
    pages.add_url_rule("/sign-out", view_func=sign_out, methods=["POST"])
