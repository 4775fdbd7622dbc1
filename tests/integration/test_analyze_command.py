"""`reclift analyze` as it is typed: words for people, JSON for programs, and errors that name what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from scipy.stats import ttest_ind, ttest_ind_from_stats

from reclift.cli import main

RANDOM = np.random.default_rng(5)
USERS = np.arange(600)
ROWS = RANDOM.integers(0, 600, 3_000)
ARM = np.array(["old", "new"])[ROWS % 2]
BEFORE = RANDOM.normal(20, 4, 600)[ROWS]
SPENT = BEFORE + RANDOM.normal(0, 1, 3_000) + 0.5 * (ARM == "new")
BOUGHT = RANDOM.random(3_000) < 0.1
TABLE = pa.table({"user": ROWS, "variant": ARM, "spent": SPENT, "before": BEFORE, "bought": BOUGHT.astype(int)})


def run(*words: object, fails: bool = False) -> Result:
    done = CliRunner().invoke(main, ["analyze", *(str(word) for word in words)])
    assert (done.exit_code != 0) == fails, done.output
    assert "Traceback" not in done.output
    return done


@pytest.fixture(params=["csv", "parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"outcomes.{request.param}"
    if request.param == "csv":
        pyarrow.csv.write_csv(TABLE, path)
    else:
        pq.write_table(TABLE, path)
    return path


def test_json_is_a_reports(file: Path) -> None:
    body = json.loads(run(file, "--arm", "variant", "--control", "old", "--metric", "bought", "--json").stdout)
    assert set(body) >= {"srm", "arms", "metrics"}
    assert [(arm["arm"], arm["control"]) for arm in body["arms"]] == [("old", True), ("new", False)]
    (metric,) = body["metrics"]
    assert metric["kind"] == "proportion"
    old, new = (BOUGHT[arm == ARM].astype(float) for arm in ("old", "new"))
    (compared,) = metric["comparisons"]
    assert compared["lift"] == pytest.approx(new.mean() / old.mean() - 1, rel=1e-9)
    # A proportion's variance is p (1 - p), without the correction of a mean's.
    expected = ttest_ind_from_stats(new.mean(), new.std(), len(new), old.mean(), old.std(), len(old), equal_var=False)
    assert compared["p_value"] == pytest.approx(expected.pvalue, rel=1e-6)


def test_rows_of_a_unit_are_summed(file: Path) -> None:
    words = ("--arm", "variant", "--control", "old", "--metric", "spent:mean", "--unit", "user", "--json")
    (metric,) = json.loads(run(file, *words).stdout)["metrics"]
    per_user = {arm: [SPENT[user == ROWS].sum() for user in np.unique(ROWS[arm == ARM])] for arm in ("old", "new")}
    (compared,) = metric["comparisons"]
    assert compared["p_value"] == pytest.approx(
        ttest_ind(per_user["new"], per_user["old"], equal_var=False).pvalue, rel=1e-6
    )


def test_words_show_every_metric_and_arm(file: Path) -> None:
    words = ("--arm", "variant", "--control", "old", "--metric", "bought", "--metric", "spent@before")
    output = run(file, *words, "--metric", "bought/spent").output
    assert "as planned" in output
    for name in ("bought", "spent@before", "bought/spent", "old", "new", "95 % interval"):
        assert name in output
    lines = [line for line in output.splitlines() if line.strip().startswith("spent@before")]
    assert len(lines) == 2
    assert "%" in lines[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--arm", "variant", "--metric", "gone"), "it has user, variant, spent, before, bought"),
        (("--arm", "group", "--metric", "spent"), "'group'"),
        (("--arm", "variant", "--control", "blue", "--metric", "spent"), "blue"),
        (("--arm", "variant", "--metric", "spent:median"), "median"),
    ],
)
def test_what_is_wrong_is_named(file: Path, words: tuple[str, ...], says: str) -> None:
    assert says in run(file, *words, fails=True).output
