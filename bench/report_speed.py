"""A report's sums from unit totals, beside DuckDB doing the same sums on the same rows.

    python -m bench.report_speed [--metrics 100] [--arms 5] [--units 1000000] [--density 0.05] [--postgresql]

`density`: the share of units that have a row of a metric; the others did nothing, have no row and count as zeros, as in
the platform. 1.0 is the worst case and needs about 100 bytes a row on disk. `--postgresql` starts a server of its own
instead of SQLite. Fails when the numbers differ.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from reclift.domain.metric import Metric, MetricKind, Source
from reclift.stats.comparison import compare
from reclift.storage.aggregates import arm_counts
from reclift.storage.aggregates_many import Asked, many_arm_sums
from reclift.storage.database import Database
from reclift.storage.migrate import migrate
from reclift.storage.tables import Base
from tests.services import PostgresServer

SUMS = {
    "x": "x", "xx": "x * x", "y": "y", "yy": "y * y", "xy": "x * y", "u": "u", "uu": "u * u", "xu": "x * u",
    "yu": "y * u", "v": "v", "vv": "v * v", "xv": "x * v", "yv": "y * v", "uv": "u * v",
}  # fmt: skip


def write(database: Database, units: int, arms: int, metrics: int, density: float) -> dict[str, pa.Table]:
    """Fill the platform's tables; returns the same rows for DuckDB."""
    random = np.random.default_rng(1)
    arm_of = random.integers(0, arms, units)
    people = ((f"u{unit:07}", f"arm-{arm_of[unit]}") for unit in range(units))
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("metric", "unit", "x", "y", "u", "v")}
    with database.connection_outside_transaction() as connection:
        driver = connection.connection.driver_connection
        if database.is_sqlite:
            driver.execute("PRAGMA synchronous = OFF")
        with connection.begin():
            _fill(driver, "experiment_units", (("e", 1, *who, 0, 0, 1, 1, "{}") for who in people), 9)
            for metric in range(metrics):
                who = np.flatnonzero(random.random(units) < density)
                x, y, u, v = random.gamma(2.0, 3.0, (4, len(who)))
                numbers = (x.tolist(), y.tolist(), u.tolist(), v.tolist())
                # by position, so in the order of the model's columns
                keys = (("e", 1, f"m{metric}", f"arm-{arm_of[unit]}", f"u{unit:07}") for unit in who)
                rows = ((*key, *four) for key, four in zip(keys, zip(*numbers, strict=True), strict=True))
                _fill(driver, "unit_totals", rows, 9)
                for name, values in (("metric", np.full(len(who), metric)), ("unit", who), ("x", x), ("y", y),
                                     ("u", u), ("v", v)):  # fmt: skip
                    columns[name].append(values)
    with database.connection_outside_transaction() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("ANALYZE")
        else:  # what autovacuum does by itself
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE unit_totals")
    return {
        "units": pa.table({"unit": np.arange(units), "arm": arm_of}),
        "totals": pa.table({name: np.concatenate(parts) for name, parts in columns.items()}),
    }


def _fill(driver: Any, table: str, rows: Iterable[tuple[Any, ...]], width: int) -> None:
    names = ", ".join(column.name for column in list(Base.metadata.tables[table].columns)[:width])
    if isinstance(driver, sqlite3.Connection):
        driver.executemany(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * width)})", rows)
        return
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def by_platform(database: Database, metrics: int, arms: int) -> tuple[list, float, float]:
    """All metrics' sums and the comparisons made of them; the seconds of each."""
    known = [
        Metric(f"m{number}", f"m{number}", MetricKind.RATIO, Source("click"), Source("impression"))
        for number in range(metrics)
    ]
    began = time.perf_counter()
    with database.read_abreast(min(4, os.cpu_count() or 1)) as session:  # as a report's job does
        counts = arm_counts(session, "e", 1)
        by_metric = many_arm_sums(session, "e", 1, [Asked(metric) for metric in known], counts)
    sums = [by_metric[metric.key] for metric in known]
    summed = time.perf_counter()
    for one in sums:
        for arm in range(1, arms):
            compare(one["arm-0"], one[f"arm-{arm}"], kind="ratio", cuped=True)
    return sums, summed - began, time.perf_counter() - summed


def by_duckdb(tables: dict[str, pa.Table], path: Path) -> tuple[dict, float]:
    """From DuckDB's own file; loading it is not counted."""
    duck = duckdb.connect(str(path))
    for name, table in tables.items():
        duck.register("arriving", table)
        duck.execute(f"CREATE TABLE {name} AS SELECT * FROM arriving")
        duck.unregister("arriving")
    wanted = ", ".join(f"sum({formula})" for formula in SUMS.values())
    began = time.perf_counter()
    rows = duck.execute(f"SELECT metric, arm, {wanted} FROM totals JOIN units USING (unit) GROUP BY ALL").fetchall()
    return {(metric, arm): values for metric, arm, *values in rows}, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--metrics", type=int, default=100)
    parser.add_argument("--arms", type=int, default=5)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--density", type=float, default=0.05)
    parser.add_argument("--postgresql", action="store_true")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if asked.postgresql:
            server = PostgresServer()
            server.start()
            stack.callback(server.close)
            database = Database(server.create_database("bench"))
        else:
            database = Database(f"sqlite:///{folder / 'reclift.db'}")
        stack.callback(database.dispose)
        migrate(database)
        began = time.perf_counter()
        tables = write(database, asked.units, asked.arms, asked.metrics, asked.density)
        rows, seconds = tables["totals"].num_rows, time.perf_counter() - began
        print(f"{asked.metrics} metrics x {asked.arms} arms x {asked.units:,} units: {rows:,} rows ({seconds:.0f} s)")
        sums, summing, comparing = by_platform(database, asked.metrics, asked.arms)
        reference, duck = by_duckdb(tables, folder / "reference.duckdb")
    for (metric, arm), values in reference.items():
        ours = sums[metric][f"arm-{arm}"]
        if not np.allclose([getattr(ours, name) for name in SUMS], values, rtol=1e-9):
            raise SystemExit(f"metric {metric}, arm {arm}: sums differ from DuckDB's")
    which = "PostgreSQL" if asked.postgresql else "SQLite"
    print(f"sums from {which:<16} {summing:8.2f} s   {summing / duck:6.1f} x DuckDB")
    print(f"the same sums by DuckDB    {duck:8.2f} s   (all metrics in one query, columns in memory or its own file)")
    print(f"{asked.metrics * (asked.arms - 1)} comparisons with CUPED {comparing:8.2f} s")


if __name__ == "__main__":
    main()
