"""`analyze` on files: the numbers of the rows, CUPED for means and ratios, units summed, and files of every make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from reclift.flows.analyze import analyze
from reclift.flows.errors import Invalid

N = 2_000


@pytest.fixture
def rows() -> dict[str, np.ndarray]:
    random = np.random.default_rng(4)
    before = random.gamma(4.0, 2.0, N)
    lists = 1.0 + random.poisson(3.0, N)
    return {
        "arm": np.array(["control", "new"] * (N // 2)),
        "before": before,
        "lists": lists,
        "clicks": np.round(lists * before / 10 + random.normal(size=N), 3),
        "spent": 3.0 + 0.8 * before + random.normal(size=N),
        "bought": (random.random(N) < 0.1).astype(float),
    }


def write(folder: Path, rows: dict[str, Any], name: str = "rows.parquet", **more: Any) -> Path:
    path = folder / name
    if path.suffix == ".csv":
        pa_csv.write_csv(pa.table(rows), path)
    else:
        pq.write_table(pa.table(rows), path, **more)
    return path


def read(path: Path, metric: str, **more: Any) -> dict[str, Any]:
    (shown,) = analyze(path, arm="arm", metrics=[metric], **more)["metrics"]
    found: dict[str, Any] = shown["comparisons"][0]
    return found


def by_regression(z: np.ndarray, u: np.ndarray) -> tuple[float, float]:
    """CUPED's difference and standard error of two interleaved arms, by hand."""
    theta = np.cov(z, u)[0, 1] / u.var(ddof=1)
    rest = z - theta * u
    error = np.sqrt(rest[::2].var(ddof=1) / (N / 2) + rest[1::2].var(ddof=1) / (N / 2))
    return float(rest[1::2].mean() - rest[::2].mean()), float(error)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_a_means_covariate(tmp_path: Path, rows: dict[str, np.ndarray], name: str) -> None:
    found = read(write(tmp_path, rows, name), "spent@before")
    difference, error = by_regression(rows["spent"], rows["before"])
    assert found["difference"] == pytest.approx(difference)
    assert found["std_error"] == pytest.approx(error)
    assert found["variance_reduction"] > 0.5


def test_a_ratios_covariate_is_one_number_a_unit_and_adjusts_its_linearised_values(
    tmp_path: Path, rows: dict[str, np.ndarray]
) -> None:
    """Each arm's z = (x - R y) / mean(y) around its own R; theta is that of all units around the common R."""
    x, y, u = rows["clicks"], rows["lists"], rows["before"]
    whole = (x - x.sum() / y.sum() * y) / y.mean()
    theta = np.cov(whole, u)[0, 1] / u.var(ddof=1)
    levels, variance = [], 0.0
    for arm in (slice(0, None, 2), slice(1, None, 2)):
        ratio = x[arm].sum() / y[arm].sum()
        rest = (x[arm] - ratio * y[arm]) / y[arm].mean() - theta * u[arm]
        levels.append(ratio - theta * u[arm].mean())
        variance += rest.var(ddof=1) / (N / 2)
    found = read(write(tmp_path, rows), "clicks/lists@before")
    assert found["difference"] == pytest.approx(levels[1] - levels[0])
    assert found["std_error"] == pytest.approx(np.sqrt(variance))
    plain = read(write(tmp_path, rows), "clicks/lists")
    reduction = 1 - found["std_error"] ** 2 / plain["std_error"] ** 2
    assert found["variance_reduction"] == pytest.approx(reduction)
    assert reduction > 0.3


def test_a_covariate_that_does_not_vary_leaves_the_plain_reading_and_the_reason(
    tmp_path: Path, rows: dict[str, np.ndarray]
) -> None:
    path = write(tmp_path, {**rows, "same": np.full(N, 3.0)})
    found, plain = read(path, "clicks/lists@same"), read(path, "clicks/lists")
    assert found["difference"] == plain["difference"]
    assert found["variance_reduction"] is None
    assert found["reasons"]["variance_reduction"]["code"] == "no_covariate"


def test_rows_are_summed_per_unit_and_units_of_several_arms_left_out(
    tmp_path: Path, rows: dict[str, np.ndarray]
) -> None:
    doubled = {name: np.concatenate([column, column]) for name, column in rows.items()}
    doubled["user"] = np.concatenate([np.arange(N), np.arange(N)])
    doubled["arm"][N] = "new"  # the first user has met both
    body = analyze(write(tmp_path, doubled), arm="arm", metrics=["spent"], unit="user")
    assert body["multi_arm_units"] == 1
    assert [arm["units"] for arm in body["arms"]] == [N // 2 - 1, N // 2]
    means = [arm["mean"] for arm in body["metrics"][0]["arms"]]
    assert means == pytest.approx([2 * rows["spent"][2::2].mean(), 2 * rows["spent"][1::2].mean()])


@pytest.mark.parametrize(
    ("arms", "names"),
    [
        (pa.array([1, 2] * (N // 2)), ["1", "2"]),
        (pa.array([False, True] * (N // 2)), ["false", "true"]),
        (pa.array(["control", "new"] * (N // 2)).dictionary_encode(), ["control", "new"]),
        (pa.DictionaryArray.from_arrays([0, 2] * (N // 2), ["control", "nobody", "new"]), ["control", "new"]),
    ],
)
@pytest.mark.parametrize("unit", [None, "user"])
def test_arms_may_be_of_any_type_and_in_many_parts(
    tmp_path: Path, rows: dict[str, np.ndarray], arms: pa.Array, names: list[str], unit: str | None
) -> None:
    path = write(tmp_path, {**rows, "arm": arms, "user": np.arange(N)}, row_group_size=77)
    body = analyze(path, arm="arm", metrics=["bought"], unit=unit)
    assert [(arm["arm"], arm["units"]) for arm in body["arms"]] == [(name, N // 2) for name in names]
    means = [arm["mean"] for arm in body["metrics"][0]["arms"]]
    assert means == pytest.approx([rows["bought"][::2].mean(), rows["bought"][1::2].mean()])
    assert body["metrics"][0]["kind"] == "proportion"


def test_rows_without_an_arm_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {"arm": ["a", None, "b"], "x": [1.0, 2.0, 3.0]})
    with pytest.raises(Invalid, match="1 rows have no arm"):
        analyze(path, arm="arm", metrics=["x"])


def test_missing_values_are_a_reason_and_not_a_guess(tmp_path: Path) -> None:
    path = write(tmp_path, {"arm": ["a", "b"] * 5, "x": [1.0, None] * 5, "y": np.arange(10.0)})
    missing, whole = analyze(path, arm="arm", metrics=["x", "y"])["metrics"]
    assert missing["comparisons"] == []
    assert "5 missing values" in missing["reasons"]["metric"]["text"]
    assert whole["comparisons"][0]["difference"] == 1.0
