"""Three ways to look at 78 real experiments: which call a difference, when, and which take it back.

    python -m bench.stats_asos [PATH_TO_PARQUET]     # asos_digital_experiments_dataset.parquet, in ../shared by default

Prints a Markdown table for docs/statistics.md. Data: ASOS Digital Experiments Dataset, Liu, Cardoso, Couturier and
McCoy 2021, "Datasets for Online Controlled Experiments", NeurIPS (CC BY 4.0).
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Callable
from math import isfinite
from pathlib import Path

import pyarrow.parquet as pq

from reclift.stats.estimate import two_sided_p
from reclift.stats.estimators import estimate
from reclift.stats.readings import plain_effect
from reclift.stats.sequential import always_valid_p, mixture_p
from reclift.stats.sums import Sums

ALPHA = 0.05
FILE = "asos_digital_experiments_dataset.parquet"


def read(path: str) -> dict[tuple, list[dict]]:
    """(metric, experiment, variant) -> checkpoints, oldest first."""
    series = defaultdict(list)
    for row in pq.read_table(path).to_pylist():
        series[row["metric_id"], row["experiment_id"], row["variant_id"]].append(row)
    return {key: sorted(rows, key=lambda row: row["time_since_start"]) for key, rows in series.items()}


def usable(row: dict) -> bool:
    values = [row[f"{name}_{arm}"] for name in ("count", "mean", "variance") for arm in "ct"]
    return all(value is not None and isfinite(value) for value in values) and min(row["count_c"], row["count_t"]) >= 2


def p_values(rows: list[dict]) -> list[tuple[float, float, float]]:
    """Fixed, mixture and confidence-sequence p at each checkpoint; tau is 1 % of the first control's mean."""
    result = []
    tau = None
    for row in rows:
        control, treatment = (Sums.of_moments(row[f"count_{a}"], row[f"mean_{a}"], row[f"variance_{a}"]) for a in "ct")
        effect = plain_effect(estimate(control, "mean"), estimate(treatment, "mean"))
        if effect.df is None:
            continue
        tau = tau or max(1e-9, 0.01 * abs(effect.base))
        variance = effect.difference_variance
        result.append((
            two_sided_p(effect.difference, effect.std_error, effect.df),
            mixture_p(effect.difference, variance, tau=tau),
            always_valid_p(effect.difference, variance, control.n + treatment.n, tuning=500_000),
        ))  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shared = Path(os.environ.get("RECLIFT_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    parser.add_argument("path", nargs="?", default=shared / "data" / "asos" / FILE)
    series = read(parser.parse_args().path)
    ways: list[tuple[str, int, Callable]] = [
        ("fixed p, read once at the end", 0, lambda p: p[-1] < ALPHA),
        ("fixed p, stopped at the first p < .05", 0, lambda p: min(p) < ALPHA),
        ("mixture SPRT (tau 1 % of the mean)", 1, lambda p: min(p) <= ALPHA),
        ("confidence sequence (tuning 500,000)", 2, lambda p: min(p) <= ALPHA),
    ]
    print("| metric | comparisons | checkpoints | reading | significant | first at | of them not at the end |")
    print("|---|---|---|---|---|---|---|")
    for metric in sorted({key[0] for key in series}):
        runs = [p_values([row for row in rows if usable(row)]) for key, rows in series.items() if key[0] == metric]
        runs = [run for run in runs if run]
        for name, column, significant in ways:
            columns = [[p[column] for p in run] for run in runs]
            hits = [p for p in columns if significant(p)]
            median, lost = "the end", 0
            if "once" not in name:
                when = sorted(next(i for i, x in enumerate(p) if x <= ALPHA) / len(p) for p in hits)
                median = f"{when[len(when) // 2]:.0%} of the run (median)"
                lost = sum(p[-1] > ALPHA for p in hits)
            print(f"| {metric} | {len(runs)} | {sum(map(len, runs)):,} | {name} | {len(hits)} | {median} | {lost} |")


if __name__ == "__main__":
    main()
