"""A sample shop for the pages' fake: strategies, models, placements, items, events, jobs and keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from reclift.strategy import NoParameters, Parameters
from tests.fake_reports import NOW


class PopularityParameters(Parameters):
    window_days: int | None = Field(30, ge=1, le=3650, description="Only events of the last so many days count.")
    decay: float = Field(0.5, ge=0, le=1, description="How much older events weigh, 1 is as much as new ones.")


class NeighbourParameters(Parameters):
    similarity: Literal["cosine", "jaccard", "bm25"] = Field("cosine", description="How two items are compared.")
    k: int = Field(100, ge=1, le=2000, description="Neighbours that are kept for an item.")
    shrinkage: float = Field(0.0, ge=0, description="Pulls similarities with little support towards zero.")
    exclude_popular: bool = Field(False, description="Leave the 1 % best-selling items out.")


class FactorParameters(Parameters):
    factors: int = Field(64, ge=1, le=512, description="Length of the vectors.")
    iterations: int = Field(15, ge=1, le=200)


USES = [{"kind": "placement", "placement": "home"}, {"kind": "fallback", "placement": "cart"},
        {"kind": "arm", "experiment": "home-recs", "arm": "item-cf", "status": "running", "pinned": False}]  # fmt: skip


def _ago(**delta: float) -> str:
    return (NOW - timedelta(**delta)).isoformat()


def _strategy(key: str, title: str, summary: str, params: type[Parameters], trains: bool = True) -> dict[str, Any]:
    return {"key": key, "title": title, "summary": summary, "needs_training": trains,
            "schema": params.model_json_schema()}  # fmt: skip


def _model(strategy: str, version: int, active: bool, days: float, **more: Any) -> dict[str, Any]:
    return {
        "id": f"{strategy}@{version}", "strategy": strategy, "version": version, "active": active, "status": "ready",
        "params": {}, "created_at": _ago(days=days), "data_until": _ago(days=days, hours=1), "seconds": 3.4 * version,
        "size_bytes": 1_420_000 * version, "metrics": {"ndcg@10": 0.35 + version / 100, "coverage": 0.21},
        "error": None, "uses": [], **more,
    }  # fmt: skip


def _offline(name: str, ndcg: float, **more: Any) -> dict[str, Any]:
    def found(value: float) -> dict[str, Any]:
        return {"value": value, "interval": [value * 0.9, value * 1.1], "users": 900, "reason": None}

    whole = {"interval": None, "users": 900, "reason": "a property of all lists together"}
    metrics = {str(k): {
        "precision": found(ndcg / 2), "recall": found(ndcg * k / 20), "ndcg": found(ndcg), "map": found(ndcg / 3),
        "hit_rate": found(ndcg * 2), "mrr": found(ndcg * 1.2), "novelty": found(6.4 + ndcg),
        "diversity": {"value": None, "interval": None, "users": 0, "reason": "no list has what this is computed from"},
        "coverage": {"value": 0.4, **whole}, "gini": {"value": 0.8, **whole}} for k in (5, 10, 20)}  # fmt: skip
    bands = [{"history": bounds, **found(ndcg * (1 + n / 5))} for n, bounds in enumerate(([1, 4], [5, 19], [20, None]))]
    return {"name": name, "strategy": name, "params": {}, "metrics": metrics, "by_history": bands,
            "fit_seconds": 1.0, "answer_ms": 0.4, "own_share": 1.0, "online": [], **more}  # fmt: skip


def shop(empty: bool = False) -> dict[str, list[Any]]:
    """Everything of the shop that the fake changes in place."""
    strategies = [
        _strategy("popularity", "Popularity", "Bestsellers: a strong start for new users.", PopularityParameters),
        _strategy("item_cf", "Item to item", "People who liked this also liked …", NeighbourParameters),
        _strategy("matrix_factorization", "Matrix factorization", "Finds hidden tastes in people's whole history.",
                  FactorParameters),
        _strategy("content", "Content", "Items like those a person liked, by what they are.", NoParameters),
        _strategy("random", "Random", "Chance: the honest baseline.", NoParameters, trains=False),
    ]  # fmt: skip
    if empty:
        return {"strategies": strategies, "models": [], "placements": [], "items": [], "events": [], "jobs": [],
                "keys": [], "offline": []}  # fmt: skip
    titles = ["Linen shirt", "Wool scarf", "Canvas bag", "Rain jacket", "Enamel mug", "Tea towel", "Paper lantern"]
    items = [
        {"item_id": f"i{n}", "title": f"{titles[n % 7]} {n}", "description": "",
        "category": "women" if n % 2 else "men",
         "price": 4.5 + n, "image_url": None, "available": n % 9 != 0, "attributes": {}} for n in range(1, 64)
    ]  # fmt: skip
    events = [
        {"event_id": f"e{n}", "type": "purchase" if n % 7 == 0 else "click", "user_id": f"u{n % 13}",
         "item_id": f"i{n % 40 + 1}", "recommendation_id": f"r-{n:06x}" if n % 3 else None,
         "value": 19.9 if n % 7 == 0 else None, "timestamp": _ago(seconds=n * 41), "received_at": _ago(seconds=n * 40),
         "properties": {}} for n in range(60)
    ]  # fmt: skip
    tasks = [("report", "home-recs", "done", 0.8, None, "4 metrics, 3 arms"),
             ("train", "content", "failed", 12.0, "StrategyError: no item has a description", None),
             ("rollup", "events", "running", None, None, None),
             ("train", "item_cf", "done", 41.0, None, "item_cf@7, nDCG@10 0.42"),
             ("report", "cart-addons", "queued", None, None, None)]  # fmt: skip
    jobs = [
        {"id": str(n), "task": task, "subject": subject, "status": status, "queued_at": _ago(minutes=5 * n + 1),
         "started_at": None if status == "queued" else _ago(minutes=5 * n), "seconds": seconds, "error": error,
         "result": result, "finished_at": _ago(minutes=5 * n - 1) if seconds is not None else None, "attempts": 1,
         "progress": 0.4 if status == "running" else 1.0, "message": "fitting" if status == "running" else "",
         "arguments": {"experiment" if task == "report" else "strategy": subject}, "actor": "mia@shop.example",
         "again": None if status in {"done", "failed"} else f"it is {status}: only what is over can be run again"}
        for n, (task, subject, status, seconds, error, result) in enumerate(tasks * 2)
    ]  # fmt: skip
    return {
        "strategies": strategies,
        "models": [_model("item_cf", 7, True, 0.4, params={"k": 200}, uses=USES),
                   _model("matrix_factorization", 2, True, 1),
                   _model("content", 1, False, 1, status="failed", error="no item has a description", metrics={}),
                   _model("popularity", 3, True, 1), _model("item_cf", 6, False, 7, params={"k": 200})],
        "placements": [
            {"key": "home", "name": "Home page", "strategy": "item_cf", "fallback": ["popularity"], "seen": "bought",
             "model": "item_cf@7", "experiments": ["home-recs"]},
            {"key": "product-page", "name": "Product page", "strategy": "popularity", "fallback": [], "seen": "bought",
             "model": "popularity@3", "experiments": ["pdp-similar"]},
            {"key": "cart", "name": "Cart", "strategy": "popularity", "fallback": ["random"], "seen": "bought",
             "model": "popularity@3", "experiments": ["cart-addons"]},
        ],
        "offline": [{
            "id": 1, "computed_at": _ago(hours=3), "split": {"kind": "temporal"}, "primary": "ndcg", "primary_k": 10,
            "level": 0.95, "fallback": None,
            "methods": {"interval": "percentile bootstrap over users", "p_value": "paired randomization, two-sided"},
            "comparisons": [{
                "first": "item_cf", "second": "popularity", "p_value": 0.004, "p_value_adjusted": 0.004,
                "difference": {"value": -0.05, "interval": [-0.08, -0.02], "users": 900, "reason": None}}],
            "results": [
                _offline("popularity", 0.2),
                _offline("item_cf", 0.25, online=[
                    {"experiment": "home-recs", "arm": "item-cf", "metric": "ctr", "against": "popularity",
                     "lift": 0.123, "lift_ci": [0.01, 0.231], "offline_lift": 0.25}]),
            ]}],
        "items": items, "events": events, "jobs": jobs,
        "keys": [{"id": "1", "name": "web shop", "prefix": "rk_1ab", "scopes": ["serve", "events"],
                  "created_by": "mia@shop.example", "created_at": _ago(days=20), "revoked_at": None},
                 {"id": "0", "name": "old import", "prefix": "rk_0cd", "scopes": ["manage"],
                  "created_by": "mia@shop.example", "created_at": _ago(days=90),
                  "revoked_at": _ago(days=30)}],
    }  # fmt: skip
