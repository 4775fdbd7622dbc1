"""`reclift analyze` on five million rows, beside DuckDB doing the sums that it needs. Bar: 3 times its time.

python -m bench.analyze [--rows 5000000]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from reclift.flows.analyze import analyze

BAR = 3.0
METRICS = ["converted", "revenue@before", "clicks/lists"]
QUERY = """
SELECT arm, count(*), sum(converted), sum(revenue), sum(revenue * revenue), sum(before), sum(before * before),
  sum(revenue * before), sum(clicks), sum(clicks * clicks), sum(lists), sum(lists * lists), sum(clicks * lists)
FROM {table} GROUP BY arm ORDER BY arm
"""
PER_UNIT = """
(SELECT user_id, any_value(arm) AS arm, sum(converted) AS converted, sum(revenue) AS revenue, sum(before) AS before,
  sum(clicks)::DOUBLE AS clicks, sum(lists)::DOUBLE AS lists FROM {table}
  GROUP BY user_id HAVING count(DISTINCT arm) = 1)
"""


def write(folder: Path, rows: int) -> tuple[Path, Path]:
    random = np.random.default_rng(1)
    unit = random.integers(0, rows // 5, rows)
    before = random.gamma(2.0, 10.0, rows)
    table = pa.table({
        "user_id": unit,
        "arm": pa.DictionaryArray.from_arrays(unit % 3, ["control", "one", "two"]).cast(pa.string()),
        "converted": (random.random(rows) < 0.05).astype(np.int64),
        "revenue": np.round(before * 0.5 + random.gamma(2.0, 5.0, rows), 2),
        "before": np.round(before, 2),
        "clicks": random.poisson(0.3, rows),
        "lists": 1 + random.poisson(2.0, rows),
    })  # fmt: skip
    parquet, csv = folder / "rows.parquet", folder / "rows.csv"
    pyarrow.parquet.write_table(table, parquet)
    pyarrow.csv.write_csv(table, csv)
    return parquet, csv


def best(times: int, what: Callable, *given, **more) -> tuple[float, Any]:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        result = what(*given, **more)
        taken.append(time.perf_counter() - began)
    return min(taken), result


def query(table: str) -> list[tuple]:
    return duckdb.sql(QUERY.format(table=table)).fetchall()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    rows = parser.parse_args().rows
    failed = False
    print(f"{rows:,} rows, metrics {', '.join(METRICS)}; best of 3; bar {BAR:g} x DuckDB")
    with tempfile.TemporaryDirectory() as folder:
        for path in write(Path(folder), rows):
            for unit in (None, "user_id"):
                table = f"'{path}'" if unit is None else PER_UNIT.format(table=f"'{path}'")
                duck, reference = best(3, query, table)
                ours, body = best(3, analyze, path, arm="arm", metrics=METRICS, unit=unit)
                for arm, row in zip(body["arms"], reference, strict=True):
                    if arm["units"] != row[1]:
                        print(f"{arm['arm']}: {arm['units']} units, DuckDB has {row[1]}", file=sys.stderr)
                        return 1
                means = [arm["mean"] for arm in body["metrics"][1]["arms"]]
                if not np.allclose(means, [row[3] / row[1] for row in reference]):
                    print("means differ from DuckDB's", file=sys.stderr)
                    return 1
                failed |= ours > BAR * duck
                what = "a row is a unit" if unit is None else f"rows summed per unit ({reference[0][1] * 3:,})"
                print(f"{path.suffix[1:]:8} {what:38} {ours:6.2f} s, DuckDB {duck:6.2f} s: {ours / duck:5.2f} x")
    return failed


if __name__ == "__main__":
    sys.exit(main())
