"""What is going on: events as they come in, what could not be written, and the worker's runs."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from .backend import JSON, Refused, backend
from .frame import Answer, actor, done, manager_only, page_number, refused

LONG = {"train": "It trains a model anew, which may take minutes and the worker's whole attention.",
        "evaluate": "It trains and measures every strategy in use, which may take many minutes."}  # fmt: skip
"""Tasks that take long, and what to think of before running them again."""


def events() -> Answer:
    """What users did, latest first, of one type or of all."""
    kind = request.args.get("type", "").strip() or None
    platform = backend()
    return render_template(
        "pages/events.html", found=platform.events(page_number(), kind), types=platform.event_types(), kind=kind,
        buried=sum(each["count"] for each in platform.dead_letter_sources()),
    )  # fmt: skip


# what could not be written ------------------------------------------------------------------------------------------
def _filter(given: Any) -> tuple[str | None, str]:
    return given.get("source", "").strip() or None, given.get("q", "").strip()


def dead_letters() -> Answer:
    """What was acknowledged and the tables refuse, newest first, of one source or with some words in the reason."""
    source, text = _filter(request.args)
    platform = backend()
    return render_template(
        "pages/dead_letters.html", found=platform.dead_letters(page_number(), source, text),
        sources=platform.dead_letter_sources(), source=source, text=text,
    )  # fmt: skip


def dead_letter(letter_id: str) -> Answer:
    """One of them: when, where from, why, and what came."""
    letter = backend().dead_letter(letter_id)
    return render_template("pages/dead_letter.html", letter=letter, **_payload(letter))


def _payload(letter: JSON) -> dict[str, Any]:
    """The payload set out when it is JSON and whole, else as it came."""
    text = letter["payload"]
    try:
        return {"shown": json.dumps(json.loads(text), indent=2, ensure_ascii=False), "is_json": True}
    except ValueError:
        return {"shown": text, "is_json": False}


@manager_only
def replay_dead_letter(letter_id: str) -> Answer:
    """Write it now; what is still refused stays."""
    try:
        new = backend().replay_dead_letter(letter_id, actor())
    except Refused as error:
        refused(str(error))
        return redirect(url_for("pages.dead_letter", letter_id=letter_id))
    facts = f"{new:,} fact{'' if new == 1 else 's'} in it {'was' if new == 1 else 'were'} new"
    done(f"Dead letter {letter_id} is written: {facts if new else 'all of it was there already'}.")
    return redirect(url_for("pages.dead_letters"))


@manager_only
def confirm_replay() -> Answer:
    """Ask before all that match are written."""
    source, text = _filter(request.args)
    total = backend().dead_letters(1, source, text)["total"]
    return render_template("pages/ask_replay.html", total=total, source=source, text=text)


@manager_only
def replay_dead_letters() -> Answer:
    """Write all that match."""
    source, text = _filter(request.form)
    found = backend().replay_dead_letters(source, text, actor())
    said = f"{found['replayed']:,} written, {found['accepted']:,} facts of them new; {found['refused']:,} still refused"
    (refused if found["refused"] else done)(said + (f"; {found['left']:,} not tried yet." if found["left"] else "."))
    return redirect(url_for("pages.dead_letters", source=source, q=text or None))


@manager_only
def confirm_discard(letter_id: str) -> Answer:
    """Ask before one is removed for good."""
    return render_template("pages/ask_discard.html", letter=backend().dead_letter(letter_id))


@manager_only
def discard_dead_letter(letter_id: str) -> Answer:
    """Remove it for good."""
    backend().discard_dead_letter(letter_id, actor())
    done(f"Dead letter {letter_id} is discarded.")
    return redirect(url_for("pages.dead_letters"))


# the worker's runs --------------------------------------------------------------------------------------------------
def jobs() -> Answer:
    """What the worker did: what, when, how long, and what failed and why; quiet rollups only when asked for."""
    task = request.args.get("task", "").strip() or None
    platform = backend()
    return render_template(
        "pages/jobs.html", found=platform.jobs(page_number(), task), tasks=platform.job_tasks(), task=task, long=LONG
    )


def job(job_id: str) -> Answer:
    """One run: what was asked for and by whom, its times, how it ended, and who ran it again."""
    found = backend().job(job_id)
    return render_template("pages/job.html", job=found, history=backend().audit(f"job:{job_id}"), long=LONG)


@manager_only
def confirm_again(job_id: str) -> Answer:
    """Ask before something long is done once more."""
    found = backend().job(job_id)
    if found["again"]:
        raise Refused(f"Job {job_id} cannot be run again: {found['again']}.")
    return render_template("pages/ask_again.html", job=found, long=LONG)


@manager_only
def run_again(job_id: str) -> Answer:
    """Do it once more."""
    try:
        new = backend().run_again(job_id, actor())
    except Refused as error:
        refused(str(error))
        return redirect(url_for("pages.job", job_id=job_id))
    done(f"Job {job_id} is run again, as job {new['id']}.")
    return redirect(url_for("pages.job", job_id=new["id"]))


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    pages.add_url_rule("/events", view_func=events)
    pages.add_url_rule("/events/dead-letters", view_func=dead_letters)
    pages.add_url_rule("/events/dead-letters/replay", view_func=confirm_replay)
    pages.add_url_rule("/events/dead-letters/replay", view_func=replay_dead_letters, methods=["POST"])
    one = "/events/dead-letters/<letter_id>"
    pages.add_url_rule(one, view_func=dead_letter)
    pages.add_url_rule(f"{one}/replay", view_func=replay_dead_letter, methods=["POST"])
    pages.add_url_rule(f"{one}/discard", view_func=confirm_discard)
    pages.add_url_rule(f"{one}/discard", view_func=discard_dead_letter, methods=["POST"])
    pages.add_url_rule("/jobs", view_func=jobs)
    pages.add_url_rule("/jobs/<job_id>", view_func=job)
    pages.add_url_rule("/jobs/<job_id>/again", view_func=confirm_again)
    pages.add_url_rule("/jobs/<job_id>/again", view_func=run_again, methods=["POST"])
