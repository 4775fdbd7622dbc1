"""Versions beside each other."""

from __future__ import annotations

from typing import Any

from reclift.web.pages import model_table


def version(number: int, *, active: bool = False, params: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "version": number, "active": active, "params": params or {}, "status": "ready",
            "metrics": {}, **more}  # fmt: skip


def test_metrics_are_columns_and_baselines_stand_below_them():
    metrics = {"ndcg@10": 0.05, "hit_rate@10": 0.1, "popularity ndcg@10": 0.04, "popularity hit_rate@10": 0.07,
               "chance hit_rate@10": 0.006, "users": 489, "search recall@10": 0.995, "search looked_at": 0.12,
               "reason": "coverage was not measured"}  # fmt: skip
    versions = [version(2, metrics=metrics), version(1, metrics={"coverage@10": 0.2})]
    assert model_table.metric_columns(versions) == [
        ("ndcg@10", "nDCG@10"), ("hit_rate@10", "Hit rate@10"), ("coverage@10", "Coverage@10")]  # fmt: skip
    first, second = model_table.rows(versions)
    assert first["cells"]["hit_rate@10"] == {"value": 0.1, "beside": ["popularity 0.0700", "chance 0.0060"]}
    assert [line.replace("\xa0", " ") for line in first["more"]] == [
        "measured on 489 users", "search recall@10 0.9950", "looks at 12.0 % of the items for an answer"]  # fmt: skip
    assert second["cells"] == {"coverage@10": {"value": 0.2, "beside": []}}


def test_only_an_older_version_of_the_same_parameters_is_rolled_back_to():
    rows = model_table.rows([
        version(5, params={"k": 9}), version(4, active=True), version(3, active=True, params={"k": 9}), version(2),
        version(1, status="failed"), version(6, params={"k": 5}),
    ])  # fmt: skip
    assert [(row["version"], row["does"], row["in_place_of"]) for row in rows] == [
        (5, "Activate", 3), (4, None, 4), (3, None, 3), (2, "Roll back to this", 4), (1, None, 4),
        (6, "Activate", None)]  # fmt: skip
