"""What is going on: events as they come in, and the worker's runs."""

from __future__ import annotations

from flask import Blueprint, render_template

from .backend import backend
from .frame import Answer, page_number


def events() -> Answer:
    """What users did, latest first."""
    return render_template("pages/events.html", found=backend().events(page_number()))


def jobs() -> Answer:
    """What the worker did: what, when, how long, and what failed and why."""
    return render_template("pages/jobs.html", found=backend().jobs(page_number()))


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/events", view_func=events)
    pages.add_url_rule("/jobs", view_func=jobs)
