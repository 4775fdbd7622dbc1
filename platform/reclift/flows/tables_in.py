"""Reads tables that people bring: CSV (also gzipped) and Parquet, whole or in batches."""

from __future__ import annotations

import csv
import io
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from reclift.flows.errors import Invalid

T = TypeVar("T")

BATCH = 20_000
PARQUET = frozenset({".parquet", ".pq"})
NOTHING = frozenset({"NA", "N/A", "n/a", "#N/A", "NULL", "null", "None", "NaN", "nan", "\\N"})
"""What programs write into a CSV where there is nothing."""
_UNREADABLE = (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError, csv.Error, EOFError)
_DELIMITERS = ",;\t|"
_FIRST_LINE = 1 << 16
_LONGEST_CELL = 10 << 20
_NO_TEXT = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Broken:
    """A cell whose bytes are no UTF-8 text."""

    content: bytes


@dataclass(slots=True)
class Torn:
    """Lines of a CSV that have not as many cells as the header: they are left out, and counted here."""

    columns: int = 0
    rows: array[int] = field(default_factory=lambda: array("q"))
    """Their rows, ascending, counted from 1 without the header."""
    _whole_before: array[int] = field(default_factory=lambda: array("q"))

    def add(self, row: int, columns: int) -> None:
        """Another one."""
        self.columns = columns
        self._whole_before.append(row - 1 - len(self.rows))
        self.rows.append(row)

    def row(self, whole: int) -> int:
        """The row in the file of the n-th line that is whole."""
        return whole + bisect_left(self._whole_before, whole)


def is_parquet(path: Path) -> bool:
    """By its name; everything else is read as CSV."""
    return path.suffix.lower() in PARQUET


def column_names(path: Path) -> list[str]:
    """The columns of a file; `Invalid` when it cannot be read, or when two have the same name."""
    names = _guarded(path, lambda: _header(path))
    if not names:
        raise Invalid.of("file", str(path), "is empty: its first line must name the columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid.of("file", str(path), f"has more than one column named {', '.join(twice)}")
    return names


def read_table(path: Path, columns: Sequence[str], *, few: Sequence[str] = (), as_text: bool = False) -> pa.Table:
    """The named columns of the whole file; `Invalid` names a column that is not there.

    `few`: columns with few values, which come dictionary-encoded where they are text in Parquet: that is much faster.
    `as_text`: a CSV's columns stay text, empty cells are None: what they mean is decided by what they are read as.
    """
    check_columns(path, columns)
    if is_parquet(path):
        return _guarded(path, lambda: pq.read_table(path, columns=list(columns), read_dictionary=list(few)))
    types = dict.fromkeys(columns, pa.string()) if as_text else None
    options = pa_csv.ConvertOptions(
        include_columns=list(columns),
        column_types=types,
        strings_can_be_null=as_text,
        null_values=[""] if as_text else None,
    )
    return _guarded(path, lambda: pa_csv.read_csv(path, convert_options=options, parse_options=_parse_options(path)))


def check_columns(path: Path, columns: Sequence[str]) -> None:
    """`Invalid` when a column is missing."""
    known = column_names(path)
    for name in columns:
        if name not in known:
            raise Invalid.of("column", name, f"is not in {path.name}; it has {', '.join(known)}")


def batches(
    path: Path, columns: Sequence[str], *, torn: Torn | None = None, nothing: Collection[str] = ()
) -> Iterator[dict[str, list[Any]]]:
    """The named columns, batch by batch, so that millions of rows need little memory. At most `BATCH` rows each.

    Cells are Python values: None where there is nothing, `Broken` where text is no UTF-8.

    Args:
        path: the file.
        columns: which.
        torn: is told of lines of a CSV that have too few or too many cells.
        nothing: columns in which the usual words for nothing (`NOTHING`) of a CSV mean that. Empty cells always do.
    """
    check_columns(path, columns)
    torn = Torn() if torn is None else torn
    try:
        yield from _parquet(path, columns) if is_parquet(path) else _csv(path, columns, torn, frozenset(nothing))
    except _UNREADABLE as error:
        raise Invalid.of("file", str(path), f"cannot be read: {error}") from error


def row_count(path: Path) -> int | None:
    """How many rows there are, where that is known without reading them all; `Invalid` when it cannot be read."""
    return _guarded(path, lambda: pq.ParquetFile(path).metadata.num_rows) if is_parquet(path) else None


def _parquet(path: Path, columns: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
    # Read as it is needed: whole row groups, of a million rows by default, would be held otherwise.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=list(columns), use_threads=False):
            yield {name: _values(batch.column(name)) for name in columns}


def _csv(path: Path, columns: Sequence[str], torn: Torn, nothing: Collection[str]) -> Iterator[dict[str, list[Any]]]:
    """By Python's own reader: as fast as Arrow's where Python values are wanted, in a tenth of the memory."""
    csv.field_size_limit(_LONGEST_CELL)
    with pa.input_stream(str(path), compression="detect") as stream:
        # Bytes that are no UTF-8 become halves of characters, so that only their cells are lost.
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(lines, delimiter=_delimiter(path))
        header = next(reader)
        places = [header.index(name) for name in columns]
        rows: list[list[str]] = []
        row = 0
        for cells in reader:
            if not cells:
                continue
            row += 1
            if len(cells) != len(header):
                torn.add(row, len(header))
                continue
            rows.append(cells)
            if len(rows) == BATCH:
                yield _texts(columns, places, rows, nothing)
                rows = []
        if rows:
            yield _texts(columns, places, rows, nothing)


def _texts(
    columns: Sequence[str], places: Sequence[int], rows: list[list[str]], nothing: Collection[str]
) -> dict[str, list[Any]]:
    every = list(zip(*rows, strict=True))
    found: dict[str, list[Any]] = {}
    for name, place in zip(columns, places, strict=True):
        texts = every[place]
        empty = NOTHING | {""} if name in nothing else {""}
        found[name] = list(texts) if empty.isdisjoint(texts) else [None if text in empty else text for text in texts]
        if _NO_TEXT.search("".join(texts)):
            found[name] = [
                Broken(text.encode(errors="surrogateescape")) if text and _NO_TEXT.search(text) else text
                for text in found[name]
            ]
    return found


def _values(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        # Python's times have microseconds.
        column = pc.cast(column, pa.timestamp("us", kind.tz), safe=False)
    found: list[Any] = column.to_pylist()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return [None if value is None else _text(value) for value in found]
    return found


def _text(value: bytes) -> str | Broken:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return Broken(value)


def _parse_options(path: Path) -> pa_csv.ParseOptions:
    return pa_csv.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True)


def _delimiter(path: Path) -> str:
    """What the header is divided by: the sign that is in it most often, a comma where there is none."""
    with pa.input_stream(str(path), compression="detect") as stream:
        header = stream.read(_FIRST_LINE).split(b"\n", 1)[0]
    return max(_DELIMITERS, key=lambda sign: header.count(sign.encode()))


def _header(path: Path) -> list[str]:
    if is_parquet(path):
        return list(pq.read_schema(path).names)
    with pa.input_stream(str(path), compression="detect") as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        names = next(csv.reader(lines, delimiter=_delimiter(path)), [])
    for name in names:
        if _NO_TEXT.search(name):
            raise OSError(f"the column name {name.encode(errors='surrogateescape')!r} is no UTF-8 text")
    return names


def _guarded(path: Path, read: Callable[[], T]) -> T:
    if not path.exists():
        raise Invalid.of("file", str(path), "does not exist")
    try:
        return read()
    except _UNREADABLE as error:
        raise Invalid.of("file", str(path), f"cannot be read as CSV or Parquet: {error}") from error
