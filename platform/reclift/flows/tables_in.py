"""Reads tables that people bring: CSV (also gzipped) and Parquet, whole or in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from reclift.flows.errors import Invalid

T = TypeVar("T")

BATCH = 50_000
PARQUET = frozenset({".parquet", ".pq"})


def column_names(path: Path) -> list[str]:
    """The columns of a file; `Invalid` when it cannot be read."""
    return list(_guarded(path, lambda: _schema(path).names))


def read_table(path: Path, columns: Sequence[str], *, few: Sequence[str] = (), as_text: bool = False) -> pa.Table:
    """The named columns of the whole file; `Invalid` names a column that is not there.

    `few`: columns with few values, which come dictionary-encoded where they are text in Parquet: that is much faster.
    `as_text`: a CSV's columns stay text, empty cells are None: what they mean is decided by what they are read as.
    """
    check_columns(path, columns)
    if path.suffix in PARQUET:
        return _guarded(path, lambda: pq.read_table(path, columns=list(columns), read_dictionary=list(few)))
    types = dict.fromkeys(columns, pa.string()) if as_text else None
    options = pa_csv.ConvertOptions(
        include_columns=list(columns),
        column_types=types,
        strings_can_be_null=as_text,
        null_values=[""] if as_text else None,
    )
    return _guarded(path, lambda: pa_csv.read_csv(path, convert_options=options))


def check_columns(path: Path, columns: Sequence[str]) -> None:
    """`Invalid` when a column is missing."""
    known = column_names(path)
    for name in columns:
        if name not in known:
            raise Invalid.of("column", name, f"is not in {path.name}; it has {', '.join(known)}")


def batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The named columns, batch by batch, so that millions of rows need little memory."""
    check_columns(path, columns)
    try:
        if path.suffix in PARQUET:
            yield from pq.ParquetFile(path).iter_batches(batch_size=BATCH, columns=list(columns))
            return
        # Everything as text: what a column means is decided by what it is imported as, not by how it looks.
        options = pa_csv.ConvertOptions(
            include_columns=list(columns), column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=True
        )
        with pa_csv.open_csv(path, convert_options=options) as reader:
            for batch in reader:
                for start in range(0, batch.num_rows, BATCH):
                    yield batch.slice(start, BATCH)
    except (pa.ArrowInvalid, OSError) as error:
        raise Invalid.of("file", str(path), f"cannot be read: {error}") from error


def row_count(path: Path) -> int | None:
    """How many rows there are, where that is known without reading them all."""
    return pq.ParquetFile(path).metadata.num_rows if path.suffix in PARQUET else None


def _schema(path: Path) -> pa.Schema:
    if path.suffix in PARQUET:
        return pq.read_schema(path)
    with pa_csv.open_csv(path) as reader:
        return reader.schema


def _guarded(path: Path, read: Callable[[], T]) -> T:
    if not path.exists():
        raise Invalid.of("file", str(path), "does not exist")
    try:
        return read()
    except (pa.ArrowInvalid, OSError) as error:
        raise Invalid.of("file", str(path), f"cannot be read as CSV or Parquet: {error}") from error
