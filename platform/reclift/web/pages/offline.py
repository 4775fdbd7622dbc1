"""Offline evaluation: every metric of every strategy by length of list, who really differs, and the online lifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flask import Blueprint, render_template, request

from reclift.web import charts_offline

from .backend import JSON, NotFound, backend
from .frame import Answer, script_json


class Column(NamedTuple):
    """A metric of the table: its key in the results, its name, its word, which way is better, its table."""

    key: str
    label: str
    word: str
    more_is_better: bool | None = True
    group: str = "accuracy"


COLUMNS = (
    Column("ndcg", "nDCG", "ndcg"),
    Column("precision", "Precision", "precision"),
    Column("recall", "Recall", "recall"),
    Column("map", "MAP", "map"),
    Column("mrr", "MRR", "mrr"),
    Column("hit_rate", "Hit rate", "hit_rate"),
    Column("coverage", "Coverage", "coverage", group="beyond"),
    Column("gini", "Gini", "gini", more_is_better=False, group="beyond"),
    Column("novelty", "Novelty", "item_novelty", more_is_better=None, group="beyond"),
    Column("diversity", "Diversity", "diversity", more_is_better=None, group="beyond"),
)


def label_of(metric: str) -> str:
    """A metric as people write it."""
    return next((column.label for column in COLUMNS if column.key == metric), metric)


def metric_label(name: str) -> str:
    """The same with its length of list: `ndcg@10` is `nDCG@10`."""
    metric, at, k = name.partition("@")
    label = label_of(metric)
    return (label if label != metric else metric.replace("_", " ")) + at + k


def columns_of(results: Sequence[Mapping[str, Any]], k: str) -> list[Column]:
    """The metrics that are there, those that this page has no words for at the end."""
    there = dict.fromkeys(key for result in results for key in result["metrics"].get(k, ()))
    known = [column for column in COLUMNS if column.key in there]
    names = {column.key for column in known}
    return known + [Column(key, key.replace("_", " "), "", None, "beyond") for key in there if key not in names]


def best_of(results: Sequence[Mapping[str, Any]], k: str, columns: Sequence[Column]) -> dict[str, str]:
    """Metric -> the strategy that leads on it, where one way is better."""
    leaders = {}
    for column in columns:
        values = {
            result["name"]: value
            for result in results
            if (value := (result["metrics"].get(k, {}).get(column.key) or {}).get("value")) is not None
        }
        if len(values) > 1 and column.more_is_better is not None:
            best = max(values.values()) if column.more_is_better else min(values.values())
            first = [name for name, value in values.items() if value == best]
            if len(first) == 1:  # nobody leads where two are level
                leaders[column.key] = first[0]
    return leaders


def pairs(comparisons: Sequence[Mapping[str, Any]], level: float) -> list[JSON]:
    """Every pair in words: who is ahead by how much, and whether chance can do that."""
    found = []
    for one in comparisons:
        value = one["difference"]["value"]
        ahead, behind = (one["second"], one["first"]) if (value or 0) >= 0 else (one["first"], one["second"])
        bounds = one["difference"].get("interval")
        if bounds is not None and (value or 0) < 0:
            bounds = [-bounds[1], -bounds[0]]
        significant = one["p_value_adjusted"] is not None and one["p_value_adjusted"] < 1 - level
        found.append({**one, "ahead": ahead, "behind": behind, "by": abs(value) if value is not None else None,
                      "bounds": bounds, "significant": significant})  # fmt: skip
    return sorted(found, key=lambda pair: (pair["p_value_adjusted"], pair["p_value"]))


def beside(evaluation: Mapping[str, Any] | None, experiment: str) -> JSON | None:
    """What the evaluation said of one experiment's arms, beside their online lifts; `None` without an evaluation."""
    if evaluation is None:
        return None
    k, primary = str(evaluation["primary_k"]), evaluation["primary"]
    rows = []
    for result in evaluation["results"]:
        for online in result["online"]:
            if online["experiment"] != experiment:
                continue
            offline_lift = online.get("offline_lift")
            known = offline_lift is not None and offline_lift != 0 and online["lift"] != 0
            estimate = result["metrics"][k][primary]
            rows.append({**online, "name": result["name"], "value": estimate["value"],
                         "reason": estimate.get("reason") or "not computed",
                         "agree": (offline_lift > 0) == (online["lift"] > 0) if known else None})  # fmt: skip
    return {"metric": f"{label_of(primary)}@{k}", "rows": rows}


WORK = ("train", "evaluate")
"""Jobs whose end changes what the pages of strategies show."""


def open_work() -> list[JSON]:
    """Trainings and evaluations that wait or run, in the order they were asked for."""
    jobs = [job for task in WORK for job in backend().jobs(1, task)["rows"] if job["status"] in {"queued", "running"}]
    return sorted(jobs, key=lambda job: str(job["queued_at"]))


def state_of(work: Sequence[Mapping[str, Any]]) -> str:
    """Changes when a page of strategies would look another way: a job began or ended, another model answers."""
    models = [f"{m['id']}{m['status'][0]}{'a' * m['active']}" for m in backend().models()]
    return " ".join([*models, "|", *(f"{job['id']}{job['status'][0]}" for job in work)])


def command_of(evaluation: Mapping[str, Any]) -> str:
    """What computes the same on the command line; strategies with parameters of their own come from what is in use."""
    names = [result["name"] for result in evaluation["results"]]
    keys = [result["strategy"] for result in evaluation["results"]]
    words = ["reclift evaluate", *(keys if names == keys else [])]
    words += ["--split", str(evaluation["split"]["kind"]).replace("_", "-")]
    return " ".join([*words, "--fallback", evaluation.get("fallback") or "none"])


def offline_page() -> Answer:
    """The newest evaluation, or the one of `?at=`, for lists of the length that was chosen."""
    platform = backend()
    number = request.args.get("at", type=int)
    evaluation = platform.offline(number)
    if evaluation is None and number is not None:
        raise NotFound(f"There is no evaluation {number}, or it is not kept any more.")
    strategies = platform.strategies()
    work = open_work()
    frame: JSON = {
        "strategies": [s for s in strategies if s["schema"] or s["needs_training"]], "work": work,
        "usual": platform.usual_fallback(), "earlier": platform.evaluations(), "state": state_of(work),
        "schemas": {s["key"]: s["schema"] for s in strategies}, "at": number,
    }  # fmt: skip
    if evaluation is None:
        return render_template("pages/offline.html", evaluation=None, **frame)
    results = evaluation["results"]
    ks = sorted({int(k) for result in results for k in result["metrics"]})
    wanted = request.args.get("k", type=int)
    k = wanted if wanted in ks else evaluation["primary_k"]
    columns = columns_of(results, str(k))
    figures = charts_offline.figures(evaluation, label_of(evaluation["primary"]))
    return render_template(
        "pages/offline.html", evaluation=evaluation, results=results, ks=ks, k=k, columns=columns,
        best=best_of(results, str(k), columns), pairs=pairs(evaluation["comparisons"], evaluation["level"]),
        primary=label_of(evaluation["primary"]), history_label=charts_offline.history_label,
        figures=figures, figures_json=script_json(figures), command=command_of(evaluation), **frame,
        metric_names={metric["key"]: metric["name"] for metric in platform.metrics()},
    )  # fmt: skip


def routes(pages: Blueprint) -> None:
    """Hang the view in."""
    pages.add_url_rule("/strategies/offline", view_func=offline_page)
