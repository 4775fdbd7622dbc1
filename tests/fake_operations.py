"""Metrics, events, jobs and dead letters of the pages' fake."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from reclift.domain.metric import BUILT_IN, Metric
from reclift.domain.metric_words import sentence
from reclift.web.pages.backend import JSON, Invalid, NotFound, Page, Person, Refused
from tests.fake_reports import METRICS, NOW

_DEFINITIONS = {metric.key: metric for metric in BUILT_IN}


def sample_letters() -> list[JSON]:
    def letter(number: int, source: str, reason: str, payload: object) -> JSON:
        text = payload if isinstance(payload, str) else json.dumps(payload)
        return {"id": str(number), "at": (NOW - timedelta(hours=number)).isoformat(), "source": source,
                "reason": reason, "payload": text, "bytes": len(text), "unit": None}  # fmt: skip

    event = {"event_id": "e-1", "type": "purchase", "unit_id": "u1017", "item_id": "i\u0000", "value": 19.9}
    return [
        letter(3, "stream", "a string contains NUL", {"events": [event]}),
        letter(2, "stream", "cannot be read: it is no JSON", "\ufffd\ufffd<script>alert(1)</script>"),
        letter(1, "spool", "value out of range for a double", {"events": [{**event, "value": "1e999"}]}),
    ]


class FakeOperations:
    """Part of `FakePages`."""

    made: dict[str, JSON]
    letters: list[JSON]
    store: dict[str, Any]
    shop: dict[str, list[Any]]
    calls: list[tuple[Any, ...]]

    # metrics
    def metrics(self) -> list[JSON]:
        views = []
        for key, about in METRICS.items():
            metric = _DEFINITIONS[key]
            views.append({**about, "sentence": sentence(metric), "definition": metric.to_dict()})
        return [*views, *self.made.values()]

    def metric_uses(self) -> dict[str, list[JSON]]:
        found: dict[str, list[JSON]] = {}
        for experiment, _ in self.store.values():
            chosen = experiment["metrics"]
            roles = [(chosen["primary"], "primary"), *((key, "guardrail") for key in chosen.get("guardrails", ()))]
            for key, role in roles:
                entry = {name: experiment[name] for name in ("name", "status")}
                found.setdefault(key, []).append({"experiment": experiment["key"], "role": role, **entry})
        return found

    def create_metric(self, payload: Mapping[str, Any], actor: Person) -> JSON:
        if payload["key"] in self.made:
            raise Refused(f"there is already a metric {payload['key']!r}")
        if payload["key"] == "taken_meanwhile":
            raise Invalid([{"field": "key", "value": payload["key"], "rule": "was taken meanwhile"}])
        metric = Metric.from_dict(payload)
        self.made[metric.key] = {
            **metric.to_dict(), "direction": "up" if metric.direction == "increase" else "down",
            "window_days": metric.window_hours and metric.window_hours / 24, "event": metric.numerator.event,
            "sentence": sentence(metric), "definition": metric.to_dict(),
        }  # fmt: skip
        self.calls.append(("create_metric", metric.key, actor.email))
        return self.made[metric.key]

    # events
    def events(self, page: int, kind: str | None = None) -> Page:
        return self._page([e for e in self.shop["events"] if kind in {None, e["type"]}], page)

    def event_types(self) -> list[str]:
        return sorted({e["type"] for e in self.shop["events"]})

    def dead_letters(self, page: int, source: str | None = None, text: str = "") -> Page:
        return self._page(self._matching(source, text), page)

    def _matching(self, source: str | None, text: str) -> list[JSON]:
        return [x for x in self.letters if source in {None, x["source"]} and text.lower() in x["reason"].lower()]

    def dead_letter_sources(self) -> list[JSON]:
        sources = sorted({letter["source"] for letter in self.letters})
        return [{"source": s, "count": len(self._matching(s, ""))} for s in sources]

    def dead_letter(self, letter_id: str) -> JSON:
        found = next((letter for letter in self.letters if letter["id"] == letter_id), None)
        if found is None:
            raise NotFound(f"There is no dead letter {letter_id!r}.")
        return dict(found)

    def replay_dead_letter(self, letter_id: str, actor: Person) -> int:
        letter = self.dead_letter(letter_id)
        self.calls.append(("replay", letter_id, actor.email))
        if "no JSON" in letter["reason"]:
            raise Refused(f"dead letter {letter_id} cannot be written: it is no JSON")
        self.letters = [each for each in self.letters if each["id"] != letter_id]
        return 1

    def replay_dead_letters(self, source: str | None, text: str, actor: Person) -> JSON:
        wanted = self._matching(source, text)
        refused = [letter for letter in wanted if "no JSON" in letter["reason"]]
        self.letters = [each for each in self.letters if each not in wanted or each in refused]
        self.calls.append(("replay_all", source, text, actor.email))
        written = len(wanted) - len(refused)
        return {"replayed": written, "accepted": written, "refused": len(refused), "left": 0}

    def discard_dead_letter(self, letter_id: str, actor: Person) -> None:
        self.dead_letter(letter_id)
        self.letters = [each for each in self.letters if each["id"] != letter_id]
        self.calls.append(("discard", letter_id, actor.email))

    # jobs
    def job_tasks(self) -> list[str]:
        return sorted({j["task"] for j in self.shop["jobs"]})

    def jobs(self, page: int, task: str | None = None) -> Page:
        rows = [j for j in self.shop["jobs"] if (j["task"] == task if task else j["task"] != "rollup" or j["error"])]
        return self._page(rows, page)

    def job(self, job_id: str) -> JSON:
        found = next((job for job in self.shop["jobs"] if job["id"] == job_id), None)
        if found is None:
            raise NotFound(f"There is no job {job_id!r}.")
        return dict(found)

    def run_again(self, job_id: str, actor: Person) -> JSON:
        job = self.job(job_id)
        if job["again"]:
            raise Refused(f"job {job_id} cannot be run again: {job['again']}")
        self.calls.append(("run_again", job_id, actor.email))
        new = {**job, "id": str(len(self.shop["jobs"])), "status": "queued", "started_at": None, "finished_at": None,
               "seconds": None, "error": None, "result": None, "progress": 0.0, "again": "it is queued"}  # fmt: skip
        self.shop["jobs"].insert(0, new)
        return new
