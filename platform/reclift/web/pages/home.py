"""The home page, and the page of words."""

from __future__ import annotations

from flask import Blueprint, render_template

from .backend import backend
from .frame import Answer


def home() -> Answer:
    """Running experiments as cards, what ended lately, placements and health."""
    return render_template("pages/home.html", home=backend().home())


def words() -> Answer:
    """The terms that the pages use."""
    return render_template("pages/words.html")


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/", view_func=home)
    pages.add_url_rule("/words", view_func=words, endpoint="words_page")
