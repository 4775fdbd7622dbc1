"""What goes on, at the pages' door: events, the worker's runs, and what could not be written."""

from __future__ import annotations

from typing import Protocol

from .backend_types import JSON, Page, Person


class OperationsSide(Protocol):
    """What is going on; see `backend.Pages` for the rules of all its parts."""

    def events(self, page: int, kind: str | None = None) -> Page:
        """Events, latest first, as in `POST /events`, plus `received_at`; with `kind`, of this type only."""
        ...

    def event_types(self) -> list[str]:
        """Types of the events that came in lately."""
        ...

    def job_tasks(self) -> list[str]:
        """Tasks that the worker has run."""
        ...

    def jobs(self, page: int, task: str | None = None) -> Page:
        """Runs of the worker, latest first: of one task, or all but the rollups that went well.

        `{"id", "task", "subject", "status" ("queued"|"running"|"done"|"failed"), "queued_at", "started_at", "seconds",
        "error", "result", "progress", "message", "arguments", "actor", "finished_at", "attempts", "again"}`; `error`
        and `result` are a sentence or `None`, `again` is what keeps this run from being run again, or `None`.
        """
        ...

    def job(self, job_id: str) -> JSON:
        """One run, as in `jobs`."""
        ...

    def run_again(self, job_id: str, actor: Person) -> JSON:
        """Ask for the same work once more; the new run, or the equal one that waits already.

        `Refused` while the run is not over, or when the worker cannot be asked for it.
        """
        ...

    def dead_letters(self, page: int, source: str | None = None, text: str = "") -> Page:
        """What was acknowledged and cannot be written, newest first: of a source, or with `text` in the reason.

        `{"id", "at", "source", "reason", "payload", "bytes"}`; `payload` is text, cut where it is long.
        """
        ...

    def dead_letter_sources(self) -> list[JSON]:
        """`{"source", "count"}` of all that lie there."""
        ...

    def dead_letter(self, letter_id: str) -> JSON:
        """One of them, as in `dead_letters`, with `unit`."""
        ...

    def replay_dead_letter(self, letter_id: str, actor: Person) -> int:
        """Write it now and remove it; how many facts were new. `Refused` with the reason while it is still refused."""
        ...

    def replay_dead_letters(self, source: str | None, text: str, actor: Person) -> JSON:
        """The same for all that match: `{"replayed", "accepted", "refused", "left"}`, counts; `left` were not tried."""
        ...

    def discard_dead_letter(self, letter_id: str, actor: Person) -> None:
        """Remove one for good."""
        ...
