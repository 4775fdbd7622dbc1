"""What is going on: events as they come in, and the worker's runs."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from .backend import backend
from .frame import Answer, page_number


def events() -> Answer:
    """What users did, latest first, of one type or of all."""
    kind = request.args.get("type", "").strip() or None
    platform = backend()
    return render_template(
        "pages/events.html", found=platform.events(page_number(), kind), types=platform.event_types(), kind=kind
    )


def jobs() -> Answer:
    """What the worker did: what, when, how long, and what failed and why; quiet rollups only when asked for."""
    task = request.args.get("task", "").strip() or None
    platform = backend()
    return render_template(
        "pages/jobs.html", found=platform.jobs(page_number(), task), tasks=platform.job_tasks(), task=task
    )


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/events", view_func=events)
    pages.add_url_rule("/jobs", view_func=jobs)
