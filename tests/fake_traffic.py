"""How the fake platform splits traffic: layers, holdouts, groups, phases, ramps, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from reclift.domain.experiment import LayerSlot
from reclift.domain.layers import LayerFullError, allocate, free_ranges
from reclift.web.pages.backend import JSON, Invalid, NotFound, Person, Refused
from tests.fake_reports import NOW


def sample_groups() -> dict[str, JSON]:
    at = {"created_at": (NOW - timedelta(days=20)).isoformat(), "updated_at": (NOW - timedelta(days=2)).isoformat()}
    return {
        "staff": {"key": "staff", "name": "Our own people", "values": ["u1", "u2", "u3"], "attribute": None,
                  "condition": None, "size": 3, **at},
        "bots": {"key": "bots", "name": "Known bots", "values": None, "attribute": None, "size": None,
                 "condition": {"user_agent": {"$regex": "bot|crawler|spider"}}, **at},
    }  # fmt: skip


class FakeTraffic:
    """The part of `FakePages` that splits traffic; it finds `store` and `calls` there."""

    store: dict[str, tuple[JSON, JSON | None]]
    calls: list[tuple[Any, ...]]
    saved: dict[str, JSON]

    def experiment(self, key: str) -> JSON:
        raise NotImplementedError

    def _slots(self, layer: str) -> dict[str, LayerSlot]:
        return {
            key: LayerSlot(layer, *e["layer_range"])
            for key, (e, _) in self.store.items()
            if e["layer"] == layer and e["layer_range"] and e["status"] in {"running", "paused"}
        }

    def layers(self) -> list[JSON]:
        names = {e["layer"] for e, _ in self.store.values() if e["layer"] and e["status"] != "stopped"}
        found = []
        for name in sorted(names):
            held = self._slots(name)
            free = free_ranges(held)
            slots: list[JSON] = [{"experiment": key, "start": s.start, "end": s.end} for key, s in held.items()]
            slots.sort(key=lambda slot: float(slot["start"]))
            share = sum(b - a for a, b in free)
            found.append({"layer": name, "slots": slots, "free": [list(part) for part in free], "free_share": share})
        return found

    def _take_room(self, experiment: JSON) -> None:
        if not experiment["layer"]:
            return
        share = max([experiment["traffic"], *(step["traffic"] for step in experiment["ramp"])])
        try:
            slot = allocate(experiment["layer"], share, self._slots(experiment["layer"]))
        except LayerFullError as error:
            raise Refused(str(error)) from error
        experiment["layer_range"] = [slot.start, slot.end]

    def groups(self) -> list[JSON]:
        return [self.saved[key] for key in sorted(self.saved)]

    def save_group(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        condition = payload.get("condition")
        if condition and any(name.startswith("$") and name not in {"$and", "$or", "$not"} for name in condition):
            rule = "operator is unknown here; known: $and, $nor, $not, $or"
            raise Invalid([{"field": "condition", "value": condition, "rule": rule}])
        values = payload.get("values")
        self.saved[key] = {"values": None, "attribute": None, "condition": None, **payload, "key": key,
                           "size": len(values) if values is not None else None, "created_at": NOW.isoformat(),
                           "updated_at": NOW.isoformat()}  # fmt: skip
        self.calls.append(("save_group", key, dict(payload), actor.email))
        return self.saved[key]

    def remove_group(self, key: str, actor: Person) -> None:
        if key not in self.saved:
            raise NotFound(f"There is no group {key!r}.")
        users = [e["key"] for e, _ in self.store.values() if f"'{key}'" in f"{e['audience']}{e['exclude']}"]
        if users:
            raise Refused(f"group {key!r} is used by {', '.join(users)}")
        del self.saved[key]
        self.calls.append(("remove_group", key, actor.email))

    def create_holdout(self, payload: Mapping[str, Any], actor: Person) -> JSON:
        if payload["key"] in self.store:
            rule = f"there is already an experiment or holdout {payload['key']!r}"
            raise Invalid([{"field": "key", "value": payload["key"], "rule": rule}])
        arms = [{"key": key, "strategy": "", "params": {}, "weight": weight, "control": key == "held-out",
                 "model": None, "rerank": None}
                for key, weight in (("held-out", payload["share"]), ("open", 1 - payload["share"]))]  # fmt: skip
        holdout = {
            "key": payload["key"], "name": payload["name"], "hypothesis": "", "kind": "holdout", "source": "live",
            "placement": payload["placement"], "layer": None, "layer_range": None, "traffic": 1.0, "audience": {},
            "exclude": {}, "overrides": {}, "sticky": False, "arms": arms, "metrics": dict(payload["metrics"]),
            "note": payload["note"], "planned_days": None, "ramp": [], "ramp_stopped": None, "phases": [],
            "weight_changes": [], "status": "draft", "phase": 1, "version": 1, "created_at": NOW.isoformat(),
            "started_at": None, "stopped_at": None,
        }  # fmt: skip
        self.store = {payload["key"]: (holdout, None), **self.store}
        self.calls.append(("create_holdout", payload["key"], actor.email))
        return dict(holdout)

    def _running(self, key: str) -> JSON:
        experiment = self.experiment(key)
        if experiment["status"] not in {"running", "paused"}:
            raise Refused(f"{key} is {experiment['status']}: only a running or paused experiment can do that")
        return experiment

    def _weigh(self, experiment: JSON, weights: Mapping[str, float]) -> dict[str, float]:
        before = {arm["key"]: arm["weight"] for arm in experiment["arms"]}
        experiment["arms"] = [{**arm, "weight": weights[arm["key"]]} for arm in experiment["arms"]]
        return before

    def start_phase(self, key: str, payload: Mapping[str, Any], actor: Person) -> JSON:
        experiment = self._running(key)
        past = {"phase": experiment["phase"], "traffic": experiment["traffic"], "ended_at": NOW.isoformat(),
                "weights": self._weigh(experiment, payload["weights"]), "note": payload["note"]}  # fmt: skip
        experiment.update(phases=[*experiment["phases"], past], weight_changes=[], phase=experiment["phase"] + 1,
                          traffic=payload["traffic"])  # fmt: skip
        self.store[key] = (experiment, None)
        self.calls.append(("start_phase", key, dict(payload), actor.email))
        return dict(experiment)

    def change_weights(self, key: str, weights: Mapping[str, float], actor: Person) -> JSON:
        experiment = self._running(key)
        if not experiment["sticky"]:
            raise Refused(f"{key} is not sticky: other weights would move users who are in to another arm.")
        past = {"until": NOW.isoformat(), "weights": self._weigh(experiment, weights)}
        experiment["weight_changes"] = [*experiment["weight_changes"], past]
        self.store[key] = (experiment, self.store[key][1])
        self.calls.append(("change_weights", key, dict(weights), actor.email))
        return dict(experiment)

    def plan_ramp(self, key: str, steps: Sequence[Mapping[str, float]], actor: Person) -> JSON:
        experiment = self.experiment(key)
        experiment["ramp"] = [dict(step) for step in steps]
        self.store[key] = (experiment, self.store[key][1])
        self.calls.append(("plan_ramp", key, [dict(step) for step in steps], actor.email))
        return dict(experiment)
