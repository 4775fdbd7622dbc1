"""What experiments are made of: the catalogue."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from .backend import backend
from .frame import Answer, page_number


def catalogue() -> Answer:
    """The shop's items."""
    query = request.args.get("q", "").strip()
    return render_template("pages/catalogue.html", query=query, found=backend().items(query, page_number()))


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/catalogue", view_func=catalogue)
