"""ASOS Digital Experiments (Liu et al. 2021): 78 real experiments, read at their last checkpoint."""

from __future__ import annotations

from functools import cache

import pyarrow.parquet as pq
import pytest
from scipy.stats import ttest_ind_from_stats

from reclift.stats.comparison import compare
from reclift.stats.sums import Sums
from tests.shared_data import shared_path


@cache
def last_checkpoints(metric):
    rows = pq.read_table(shared_path("data", "asos", "asos_digital_experiments_dataset.parquet")).to_pylist()
    latest = {}
    for row in rows:
        if any(row[f"{name}_{arm}"] is None for name in ("count", "mean", "variance") for arm in "ct"):
            continue
        key = row["experiment_id"], row["variant_id"]
        if row["metric_id"] == metric and row["time_since_start"] >= latest.get(key, row)["time_since_start"]:
            latest[key] = row
    return list(latest.values())


def read(row):
    return compare(
        *(Sums.of_moments(row[f"count_{a}"], row[f"mean_{a}"], row[f"variance_{a}"]) for a in "ct"), kind="mean"
    )


def test_metric_1_is_significant_in_26_of_99():
    results = [read(row) for row in last_checkpoints(1)]
    assert len(results) == 99
    assert sum(result.p_value < 0.05 for result in results) == 26
    always_valid = sum(result.sequential.p_value < 0.05 for result in results)
    assert always_valid < 26


@pytest.mark.parametrize("metric", [1, 2, 3, 4])
def test_every_p_value_is_scipys(metric):
    """From the published means and variances directly, not by way of sums."""
    for row in last_checkpoints(metric):
        expected = ttest_ind_from_stats(
            row["mean_t"], row["variance_t"] ** 0.5, row["count_t"],
            row["mean_c"], row["variance_c"] ** 0.5, row["count_c"], equal_var=False,
        ).pvalue  # fmt: skip
        assert read(row).p_value == pytest.approx(expected, rel=1e-6)
