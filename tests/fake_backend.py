"""The platform as the pages see it, in memory and with sample data: for tests of the pages and for working on them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from reclift.domain.experiment import Status, TransitionError, transition
from reclift.web.pages.backend import JSON, Invalid, NotFound, Page, Person, Problem, Refused
from tests import fake_shop
from tests.fake_experiments import samples
from tests.fake_operations import FakeOperations, sample_letters
from tests.fake_plan import FakePlanning
from tests.fake_reports import NOW
from tests.fake_traffic import FakeTraffic, sample_groups

PASSWORD = "a long pass phrase"
MANAGER = Person("1", "mia@shop.example", "manager", "Mia Manager")
VIEWER = Person("2", "vic@shop.example", "viewer", "Vic Viewer")


class FakePages(FakePlanning, FakeOperations, FakeTraffic):
    """Implements `reclift.web.pages.backend.Pages`."""

    def __init__(self, empty: bool = False) -> None:
        self.store = {} if empty else samples()
        self.shop = fake_shop.shop(empty)
        self.saved = {} if empty else sample_groups()
        self.made, self.letters = {}, [] if empty else sample_letters()
        self._people = {person.id: person for person in (MANAGER, VIEWER)}
        self.calls: list[tuple[Any, ...]] = []

    def about(self) -> JSON:
        return {
            "version": "0.1.0",
            "environment": "Demo",
            "facts": [{"name": "Database", "text": "SQLite (embedded)"}, {"name": "Jobs", "text": "embedded worker"}],
        }

    def home(self) -> JSON:
        entries = self.experiments()
        return {
            "running": [e for e in entries if e["status"] in {"running", "paused"}],
            "ended": [e for e in entries if e["status"] == "stopped"],
            "drafts": sum(e["status"] == "draft" for e in entries),
            "placements": self.placements(),
            "health": [{"name": "Events", "ok": True, "text": "1.2k a minute"},
                       {"name": "Jobs", "ok": True, "text": "last run 4 min ago"},
                       {"name": "Models", "ok": False, "text": "content failed to train"}],
        }  # fmt: skip

    # experiments
    def experiments(self, status: str | None = None) -> list[JSON]:
        return [{**e, "report": r} for e, r in self.store.values() if status in {None, e["status"]}]

    def experiment(self, key: str) -> JSON:
        if key not in self.store:
            raise NotFound(f"There is no experiment {key!r}.")
        return dict(self.store[key][0])

    def create_experiment(self, payload: Mapping[str, Any], actor: Person) -> JSON:
        self._check(payload)
        if payload["key"] in self.store:
            raise Invalid([{"field": "key", "value": payload["key"], "rule": "is taken by another experiment"}])
        experiment = {"layer": None, "exclude": {}, "overrides": {}, "sticky": False, "ramp": [], **payload,
                      "status": "draft", "phase": 1, "version": 1, "source": "live", "kind": "ab",
                      "layer_range": None, "ramp_stopped": None, "phases": [], "weight_changes": [],
                      "created_at": NOW.isoformat(), "started_at": None, "stopped_at": None}  # fmt: skip
        experiment.setdefault("note", "")
        self.store = {payload["key"]: (experiment, None), **self.store}
        self.calls.append(("create_experiment", payload["key"], actor.email))
        return dict(experiment)

    def _check(self, payload: Mapping[str, Any]) -> None:
        problems: list[Problem] = []
        placements = {p["key"] for p in self.placements()}
        if "placement" in payload and payload["placement"] not in placements:
            problems.append({"field": "placement", "value": payload["placement"], "rule": "is not a placement"})
        known = {s["key"] for s in self.strategies()}
        for n, arm in enumerate(payload.get("arms", [])):
            if arm["strategy"] not in known:
                rule = "is not an installed strategy"
                problems.append({"field": f"arms.{n}.strategy", "value": arm["strategy"], "rule": rule})
        if problems:
            raise Invalid(problems)

    def change_experiment(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        experiment = self.experiment(key)
        if payload.get("version", experiment["version"]) != experiment["version"]:
            raise Refused("Somebody else changed this experiment meanwhile.")
        self._check(payload)
        experiment.update({**payload, "version": experiment["version"] + 1})
        self.store[key] = (experiment, self.store[key][1])
        self.calls.append(("change_experiment", key, actor.email))
        return dict(experiment)

    def act(self, key: str, action: str, actor: Person) -> JSON:
        experiment = self.experiment(key)
        try:
            experiment["status"] = transition(Status(experiment["status"]), action).value
        except TransitionError as error:
            raise Refused(str(error)) from error
        if action == "start":
            self._take_room(experiment)
        if action in {"start", "stop"}:
            experiment["started_at" if action == "start" else "stopped_at"] = NOW.isoformat()
        self.store[key] = (experiment, self.store[key][1])
        self.calls.append((action, key, actor.email))
        return dict(experiment)

    # reports
    def report(self, key: str) -> JSON | None:
        self.experiment(key)
        return self.store[key][1]

    def segments(self, key: str, attribute: str) -> JSON:
        if '"' in attribute:
            raise Invalid([{"field": "segment", "value": attribute, "rule": "must be an attribute's name"}])
        report = self.report(key)
        test = {"attribute": attribute, "looked_at": 2, "not_looked_at": 1, "text": "2 values looked at.",
                "arms": [{"arm": "item-cf", "p_value": 0.03, "reasons": {}},
                         {"arm": "als", "p_value": None, "reasons": {"interaction_p": {"text": "few"}}}]}  # fmt: skip
        if report is None or attribute != "country":
            return {"values": [], "test": {**test, "arms": []}}
        values = [{"attribute": attribute, "value": value, "units": units, "metrics": report["metrics"][:1]}
                  for value, units in (("CN", 7240), ("US", 5191))]  # fmt: skip
        return {"values": values, "test": test}

    def report_csv(self, key: str) -> str:
        report = self.report(key)
        if report is None:
            raise NotFound(f"There is no report of {key!r} yet.")
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["metric", "arm", "lift"])
        writer.writerows([m["metric"], c["arm"], c["lift"]] for m in report["metrics"] for c in m["comparisons"])
        return out.getvalue()

    def refresh_report(self, key: str, actor: Person) -> None:
        self.experiment(key)
        self.calls.append(("refresh_report", key, actor.email))

    def report_state(self, key: str) -> JSON:
        report = self.report(key)
        return {"computed_at": report["computed_at"] if report else None, "job": "queued", "error": None}

    # strategies and models
    def strategies(self) -> list[JSON]:
        return list(self.shop["strategies"])

    def models(self) -> list[JSON]:
        return list(self.shop["models"])

    def train(self, strategy: str, params: Mapping[str, Any], actor: Person) -> None:
        self.calls.append(("train", strategy, dict(params), actor.email))

    def offline(self, number: int | None = None) -> JSON | None:
        return next((body for body in self.shop["offline"] if number in {None, body["id"]}), None)

    def evaluations(self) -> list[JSON]:
        return [{"id": body["id"], "computed_at": body["computed_at"], "split": body["split"]["kind"],
                 "strategies": [result["name"] for result in body["results"]], "fallback": body["fallback"]}
                for body in self.shop["offline"]]  # fmt: skip

    def usual_fallback(self) -> str | None:
        return "popularity"

    def evaluate(self, wanted: Mapping[str, Any], actor: Person) -> None:
        self.calls.append(("evaluate", dict(wanted), actor.email))

    def activate(self, model_id: str, actor: Person) -> JSON:
        model = next((m for m in self.shop["models"] if m["id"] == model_id), None)
        if model is None:
            raise NotFound(f"There is no model {model_id!r}.")
        for other in self.shop["models"]:
            other["active"] = other is model or (other["active"] and other["strategy"] != model["strategy"])
        self.calls.append(("activate", model_id, actor.email))
        return dict(model)

    # the shop
    def placements(self) -> list[JSON]:
        return list(self.shop["placements"])

    def save_placement(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        placement = {"model": None, "experiments": [], **payload, "key": key}
        self.shop["placements"] = [p for p in self.shop["placements"] if p["key"] != key] + [placement]
        self.calls.append(("save_placement", key, dict(payload), actor.email))
        return placement

    def items(self, query: str, page: int) -> Page:
        rows = [
            i for i in self.shop["items"] if query.lower() in f"{i['item_id']} {i['title']} {i['category']}".lower()
        ]
        return self._page(rows, page)

    def _page(self, rows: list[JSON], page: int, size: int = 25) -> Page:
        return {"rows": rows[(page - 1) * size : page * size], "page": page, "size": size, "total": len(rows)}

    # people and keys
    def scopes(self) -> list[JSON]:
        return [{"key": "serve", "text": "ask for assignments and recommendations, send events"},
                {"key": "read", "text": "read experiments and reports"},
                {"key": "manage", "text": "change experiments, placements and models"}]  # fmt: skip

    def keys(self) -> list[JSON]:
        return list(self.shop["keys"])

    def create_key(self, name: str, scopes: Sequence[str], actor: Person) -> str:
        if not name:
            raise Invalid([{"field": "name", "value": name, "rule": "must be 1 to 100 characters"}])
        number = str(len(self.shop["keys"]) + 1)
        self.shop["keys"].insert(0, {
            "id": number, "name": name, "prefix": f"rk_{number}ab", "scopes": list(scopes), "created_by": actor.email,
            "created_at": NOW.isoformat(), "revoked_at": None})  # fmt: skip
        return f"rk_{number}ab_0123456789abcdef0123456789abcdef"

    def revoke_key(self, key_id: str, actor: Person) -> None:
        key = next((k for k in self.shop["keys"] if k["id"] == key_id), None)
        if key is None:
            raise NotFound(f"There is no key {key_id!r}.")
        key["revoked_at"] = NOW.isoformat()
        self.calls.append(("revoke_key", key_id, actor.email))

    def people(self) -> list[JSON]:
        return [{"id": p.id, "email": p.email, "name": p.name, "role": p.role, "created_at": NOW.isoformat()}
                for p in self._people.values()]  # fmt: skip

    def create_person(self, email: str, password: str, role: str, name: str, actor: Person) -> JSON:
        if len(password) < 12:
            raise Invalid([{"field": "password", "value": "…", "rule": "must have at least 12 characters"}])
        person = Person(str(len(self._people) + 1), email, "manager" if role == "manager" else "viewer", name)
        self._people[person.id] = person
        self.calls.append(("create_person", email, role, actor.email))
        return {"id": person.id, "email": email, "name": name, "role": role}

    def authenticate(self, email: str, password: str) -> Person | None:
        found = next((p for p in self._people.values() if p.email == email), None)
        return found if found and password == PASSWORD else None

    def person(self, person_id: str) -> Person | None:
        return self._people.get(person_id)

    def audit(self, subject: str) -> list[JSON]:
        return [
            {"at": (NOW - timedelta(days=d)).isoformat(), "actor": MANAGER.email, "action": action, "detail": detail}
            for d, action, detail in [(3, "change", "note"), (6, "start", "draft → running"), (8, "create", "")]
        ] if subject.startswith("experiment:") else []  # fmt: skip
