"""Sample experiments: running with three arms, underpowered, with a failed sample ratio, ended, and a draft."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any

from reclift.domain.analysis import Analysis
from tests.fake_reports import NOW, ArmData, make_report


def _experiment(key: str, name: str, arms: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "key": key, "name": name, "hypothesis": "", "placement": "home", "layer": None, "traffic": 1.0, "audience": {},
        "arms": arms, "metrics": {"primary": "ctr", "secondary": ["conversion", "revenue_per_user"],
                                  "guardrails": ["latency"]},
        "status": "running", "phase": 1, "created_at": (NOW - timedelta(days=8)).isoformat(), "started_at": None,
        "stopped_at": None, "version": 3, "source": "live", "note": "", "planned_days": 14, "kind": "ab",
        "layer_range": None, "exclude": {}, "overrides": {}, "sticky": False, "ramp": [], "ramp_stopped": None,
        "phases": [], "weight_changes": [], "analysis": Analysis().to_dict(),
    }  # fmt: skip
    base.update(more)
    return base


def _arm(key: str, strategy: str, weight: float, control: bool = False, **params: Any) -> dict[str, Any]:
    return {"key": key, "strategy": strategy, "params": params, "weight": weight, "control": control, "model": None,
            "rerank": None}  # fmt: skip


def _means(ctr: float, conversion: float, revenue: float, latency: float) -> dict[str, float]:
    return {"ctr": ctr, "conversion": conversion, "revenue_per_user": revenue, "latency": latency}


SPREADS = {"ctr": 0.11, "conversion": 0.2, "revenue_per_user": 6.1, "latency": 9.0}


def home_recs() -> tuple[dict[str, Any], dict[str, Any]]:
    experiment = _experiment(
        "home-recs", "Home: personal lists", [
            _arm("control", "popularity", 0.34, control=True, window_days=30),
            _arm("item-cf", "item_cf", 0.33, k=200, shrinkage=10.0),
            _arm("als", "matrix_factorization", 0.33, factors=64),
        ],
        hypothesis="Lists made from people's own history are clicked more often than bestsellers.",
        started_at=(NOW - timedelta(days=5, hours=9)).isoformat(), audience={"country": {"$in": ["CN", "US"]}},
        note="Newsletter went out on day 3.", layer="home", layer_range=[0.0, 0.6], traffic=0.6, phase=2,
        exclude={"$or": [{"$savedGroup": {"id": "bots"}}, {"is_staff": {"$eq": True}}]}, overrides={"u42": "als"},
        phases=[{"phase": 1, "weights": {"control": 0.5, "item-cf": 0.25, "als": 0.25}, "traffic": 0.2,
                 "ended_at": (NOW - timedelta(days=5)).isoformat(), "note": "als was slow in its first days"}],
    )  # fmt: skip
    arms = [
        ArmData("control", 4201, 21340, _means(0.0312, 0.0421, 1.32, 3.1), SPREADS, control=True),
        ArmData("item-cf", 4098, 20911, _means(0.0371, 0.0443, 1.41, 5.8), SPREADS),
        ArmData("als", 4132, 21077, _means(0.0334, 0.0409, 1.28, 8.4), SPREADS),
    ]
    decision = {"call": "keep_running", "because": [
        "item-cf leads on CTR, and its always-valid interval excludes zero after correction for two arms.",
        "The plan's 14 days are not over: day 6 of 14.",
        "No guardrail is hurt beyond its margin.",
    ]}  # fmt: skip
    roles = {"ctr": "primary", "conversion": "secondary", "revenue_per_user": "secondary", "latency": "guardrail"}
    return experiment, make_report("home-recs", arms, roles, 6, decision, weights=[0.34, 0.33, 0.33], positions=8)


def pdp_similar() -> tuple[dict[str, Any], dict[str, Any]]:
    experiment = _experiment(
        "zozotown-men", "Open Bandit, men's campaign", [
            _arm("random", "random", 0.5, control=True), _arm("bts", "bernoulli_ts", 0.5),
        ],
        placement="zozotown", source="imported", status="stopped", planned_days=None,
        started_at="2019-11-24T00:00:00+00:00", stopped_at="2019-11-30T23:59:59+00:00",
        metrics={"primary": "ctr", "secondary": [], "guardrails": []},
        hypothesis="Thompson sampling finds better clothes than chance.",
    )  # fmt: skip
    spread = {"ctr": 0.068}
    arms = [
        ArmData("random", 10000, 10000, {"ctr": 0.0046}, spread, control=True),
        ArmData("bts", 10000, 10000, {"ctr": 0.0069}, {"ctr": 0.083}),
    ]
    decision = {"call": "ship", "because": ["bts is better on CTR: +50.0 %, p = .031.", "It has ended as logged."]}
    return experiment, make_report("zozotown-men", arms, {"ctr": "primary"}, 7, decision, positions=3)


def underpowered() -> tuple[dict[str, Any], dict[str, Any]]:
    experiment = _experiment(
        "pdp-similar", "Product page: similar items", [
            _arm("control", "popularity", 0.5, control=True), _arm("content", "content", 0.5),
        ],
        placement="product-page", source="replay", planned_days=21,
        started_at=(NOW - timedelta(days=1, hours=8)).isoformat(), traffic=0.2, sticky=True, layer="product-page",
        layer_range=[0.0, 1.0],
        ramp=[{"traffic": t, "after_hours": h} for t, h in ((0.01, 0.0), (0.2, 24.0), (0.5, 48.0), (1.0, 96.0))],
    )  # fmt: skip
    arms = [
        ArmData("control", 948, 3211, _means(0.0288, 0.0401, 1.22, 3.0), SPREADS, control=True),
        ArmData("content", 954, 3302, _means(0.0301, 0.0398, 1.25, 6.1), SPREADS),
    ]
    decision = {"call": "keep_running", "because": [
        "Too early: 31 % of the planned users have been seen.",
        "An effect of 9 % on CTR could not be told from chance yet.",
    ]}  # fmt: skip
    report = make_report("pdp-similar", arms, {"ctr": "primary", "conversion": "secondary",
                         "revenue_per_user": "secondary"}, 2, decision, positions=6)  # fmt: skip
    revenue = report["metrics"][2]["comparisons"][0]
    for name in ("lift", "lift_ci", "difference", "difference_ci", "p_value", "p_value_adjusted"):
        revenue[name] = None
    revenue.update(sequential=None, bayesian=None, reasons={"lift": "the control has no purchases yet, so there is "
                                                            "nothing to relate to"})  # fmt: skip
    report["series"]["revenue_per_user"] = []
    return experiment, report


def broken() -> tuple[dict[str, Any], dict[str, Any]]:
    experiment = _experiment(
        "cart-addons", "Cart: add-ons", [
            _arm("control", "popularity", 0.5, control=True), _arm("item-cf", "item_cf", 0.5, k=100),
        ],
        placement="cart", started_at=(NOW - timedelta(days=9)).isoformat(), planned_days=14, status="paused",
        traffic=0.1, ramp=[{"traffic": 0.1, "after_hours": 0.0}, {"traffic": 1.0, "after_hours": 240.0}],
        ramp_stopped={"at": (NOW - timedelta(hours=20)).isoformat(),
                      "reason": "the sample ratio is not as planned (p = 2.7e-05)"},
    )  # fmt: skip
    arms = [
        ArmData("control", 5210, 15210, _means(0.041, 0.062, 2.2, 3.0), SPREADS, control=True),
        ArmData("item-cf", 4790, 14011, _means(0.049, 0.066, 2.35, 5.5), SPREADS),
    ]
    decision = {"call": "invalid", "because": [
        "The sample ratio is off: 5,210 to 4,790 where 1 to 1 was planned. Some users of one arm are not logged.",
    ]}  # fmt: skip
    roles = {"ctr": "primary", "conversion": "secondary", "revenue_per_user": "secondary", "latency": "guardrail"}
    return experiment, make_report("cart-addons", arms, roles, 9, decision)


def draft() -> dict[str, Any]:
    return _experiment(
        "home-ease", "Home: EASE against item-cf", [
            _arm("item-cf", "item_cf", 0.5, control=True), _arm("als", "matrix_factorization", 0.5),
        ],
        status="draft", version=1, layer="home", traffic=0.3,
        analysis=Analysis("group_sequential", looks=4, family="power", rho=1.5, cuped=True, level=0.9,
                          minimum_effect=0.02, tuning=20_000).to_dict(),
    )  # fmt: skip


def holdout() -> tuple[dict[str, Any], dict[str, Any]]:
    """Five of a hundred users who see no experiment."""
    experiment = _experiment(
        "no-experiments", "Everywhere: nothing new", [_arm("held-out", "", 0.05, control=True), _arm("open", "", 0.95)],
        kind="holdout", placement=None, planned_days=None, started_at=(NOW - timedelta(days=30)).isoformat(),
        metrics={"primary": "conversion", "secondary": ["revenue_per_user"], "guardrails": []},
    )  # fmt: skip
    arms = [
        ArmData("held-out", 902, 4310, _means(0.0301, 0.0408, 1.27, 3.0), SPREADS, control=True),
        ArmData("open", 17211, 82114, _means(0.0344, 0.0431, 1.38, 5.9), SPREADS),
    ]
    decision = {"call": "keep_running", "because": ["Conversion of open users is higher, and not yet beyond doubt."]}
    roles = {"conversion": "primary", "revenue_per_user": "secondary"}
    return experiment, make_report("no-experiments", arms, roles, 30, decision, weights=[0.05, 0.95])


def samples() -> dict[str, tuple[dict[str, Any], dict[str, Any] | None]]:
    """Experiments with their reports by key, newest first."""
    pairs = [(draft(), None), home_recs(), underpowered(), broken(), holdout(), pdp_similar()]
    return {experiment["key"]: (deepcopy(experiment), report) for experiment, report in pairs}
