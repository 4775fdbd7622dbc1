"""How the fake platform plans: sizes by a textbook formula, and lists that differ between strategies."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from reclift.web.pages.backend import JSON, Invalid, NotFound
from tests.fake_reports import METRICS

A_DAY = 1_800
"""Users who come to a placement of the fake in a day."""


class FakePlanning:
    """The part of `FakePages` that plans; it finds `shop` and `calls` there."""

    shop: dict[str, list[Any]]
    calls: list[tuple[Any, ...]]

    def experiment(self, key: str) -> JSON:
        raise NotImplementedError

    def power(self, question: Mapping[str, Any]) -> JSON:
        self.calls.append(("power", dict(question)))
        if question["metric"] not in METRICS:
            raise NotFound(f"There is no metric {question['metric']!r}.")
        answer: JSON = {
            **question, "power": 0.8, "units": None, "units_per_arm": None, "units_by_arm": None,
            "days": None, "planned_days": None,
            "by_days": [], "reasons": {}, "units_without": None,
            "audience": {"share": 0.25, "known": 8_000, "reasons": {}} if question.get("audience") else None,
            "cuped": {"used": bool(question.get("cuped")), "gain": 0.36, "units": 9_000, "source": "history",
                      "experiment": None, "days": question.get("cuped_days"), "reasons": {}},
            "history": {"from": "2026-10-01T00:00:00Z", "until": "2026-10-28T12:00:00Z", "units": 28 * A_DAY,
                        "units_read": 20_000, "mean": 0.0312, "std_dev": 0.1},
        }  # fmt: skip
        if question["placement"] == "cart":
            answer["history"] |= {"from": None, "until": None, "units": 0, "mean": None}
            nothing = {"code": "no_units", "text": "No list was shown here yet, so there is no past to plan from."}
            return answer | {"reasons": {"units": nothing, "days": nothing}}
        per_arm = ceil(157 / question["effect"] ** 2 * (1.6 if question["regime"] == "sequential" else 1))
        if question.get("cuped"):
            answer["units_without"], per_arm = per_arm * question["arms"], ceil(per_arm * 0.64)
        units = per_arm * question["arms"]
        days = ceil(units / (A_DAY * question["traffic"]))
        found = [
            {"days": n, "units": round(n * A_DAY * question["traffic"]),
             "effect": (157 * question["arms"] / (n * A_DAY * question["traffic"])) ** 0.5}
            for n in sorted({7, 14, 21, 28, question["days"] or 7})
        ]  # fmt: skip
        return answer | {"units": units, "units_per_arm": per_arm, "days": days, "planned_days": ceil(days / 7) * 7,
                         "by_days": found}  # fmt: skip

    def preview(self, key: str, arm: str) -> JSON:
        keys = [each["key"] for each in self.experiment(key)["arms"]]
        if arm not in keys:
            raise Invalid([{"field": "arm", "value": arm, "rule": f"must be one of {', '.join(keys)}"}])
        return {"arm": arm, "token": f"preview.{key}.{arm}.signed", "valid_days": 14}

    def people_lately(self) -> list[str]:
        return list(dict.fromkeys(event["user_id"] for event in self.shop["events"]))[:4]

    def look_as(self, experiment: Mapping[str, Any], viewer: Mapping[str, Any]) -> JSON:
        self.calls.append(("look_as", experiment["key"], dict(viewer)))
        items = [item for item in self.shop["items"] if item["available"]]
        arms = []
        for n, arm in enumerate(experiment["arms"]):
            missing = arm["strategy"] == "content"
            rows = [
                {"item_id": item["item_id"], "title": item["title"], "category": item["category"],
                 "position": place + 1, "score": 1 - place / 10, "arm": arm["key"],
                 "source": "popularity" if missing else arm["strategy"],
                 **({"reason": "because they bought a Wool scarf"} if arm["strategy"] == "item_cf" else {})}
                for place, item in enumerate([*items[n * 2 + 9 : n * 2 + 12], *items[n : n + 7]])
            ]  # fmt: skip
            arms.append({
                "arm": arm["key"], "control": arm["control"], "strategy": arm["strategy"],
                "model": None if missing else f"{arm['strategy']}@{arm.get('model') or 3}",
                "fallback": {"reason": "no_model", "strategy": "popularity"} if missing else None,
                "problem": "content has no model with these parameters yet: it is trained when the experiment starts"
                if missing else None, "items": rows,
            })  # fmt: skip
        tests = experiment["overrides"].get(viewer["user_id"])
        runs = experiment.get("status") == "running"
        return {
            "placement": experiment["placement"], "signals": 3, "history": ["i2", "i5"], "arms": arms,
            "decision": {"arm": tests or experiment["arms"][-1]["key"], "in_experiment": True, "now": runs,
                         "reason": "override" if tests else "bucketed"},
            "shown": {"experiment": "home-recs", "arm": "item-cf"} if experiment["placement"] == "home" else None,
        }  # fmt: skip
