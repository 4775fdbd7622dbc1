"""Files as people have them: each row is taken as it is meant, or skipped with its number and the reason."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from reclift.domain.events import MICROS
from reclift.domain.pseudonym import Pseudonyms
from reclift.flows import catalogue
from reclift.flows.clock import now_micros
from reclift.flows.errors import Invalid
from reclift.flows.importing import import_items
from reclift.flows.importing_interactions import ERASED, PORTION, Seen, import_interactions
from reclift.flows.tables_in import BATCH, row_count
from reclift.storage import erasures
from reclift.wiring import Runtime

NOON = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)


def events(here: Runtime, columns: str = "unit_id, item_id, type, value, at") -> list[tuple[Any, ...]]:
    with here.database.engine.connect() as connection:
        found = connection.execute(text(f"SELECT {columns} FROM events ORDER BY unit_id, item_id"))
        return [tuple(row) for row in found]


def items(here: Runtime) -> dict[str, tuple[Any, ...]]:
    with here.database.engine.connect() as connection:
        found = connection.execute(text("SELECT item_id, title, category, price, available, attributes FROM items"))
        return {row[0]: (*row[1:5], json.loads(row[5])) for row in found}


def file(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_cell_that_is_no_text_costs_its_own_row_only(runtime: Runtime, tmp_path: Path) -> None:
    log = file(tmp_path / "log.csv", b"user_id,item_id,type\nu1,a,click\nu2,caf\xe9,click\nu3,caf\xc3\xa9,click\n")
    count = import_interactions(runtime.database, log, {})
    assert (count.taken, dict(count.skipped), dict(count.first_rows)) == (
        2, {"item_id: must be UTF-8 text": 1}, {"item_id: must be UTF-8 text": 2},
    )  # fmt: skip
    assert [row[1] for row in events(runtime)] == ["a", "café"]
    shop = file(tmp_path / "items.csv", b"item_id,title\na,Th\xe9\nb,Tea\n")
    count = import_items(runtime.database, shop, {})
    assert (count.taken, dict(count.first_rows)) == (1, {"title: must be UTF-8 text": 1})


def test_lines_with_too_few_or_too_many_cells_are_counted(runtime: Runtime, tmp_path: Path) -> None:
    lines = ["user_id,item_id,value", "u1,a,1", "u2,a", "u3,a,1,2", "", "u4,a,much", "u5,a,1"]
    count = import_interactions(runtime.database, file(tmp_path / "log.csv", "\n".join(lines)), {})
    assert count.taken == 2
    assert dict(count.skipped) == {"row: must have 3 cells, as the header has": 2, "value: must be a number": 1}
    assert dict(count.first_rows) == {"row: must have 3 cells, as the header has": 2, "value: must be a number": 4}
    count = import_items(runtime.database, file(tmp_path / "i.csv", "item_id,price\na\nb,cheap\nc,1\n"), {})
    assert (count.taken, sorted(count.first_rows.values())) == (1, [1, 2])


def test_text_in_quotes_may_have_lines_and_delimiters(runtime: Runtime, tmp_path: Path) -> None:
    import_items(runtime.database, file(tmp_path / "i.csv", 'item_id,title\na,"Red,\nwarm ""scarf"""\nb,Hat\n'), {})
    assert items(runtime)["a"][0] == 'Red,\nwarm "scarf"'
    assert items(runtime)["b"][0] == "Hat"


@pytest.mark.parametrize("sign", [";", "\t", "|"])
def test_other_delimiters_and_a_byte_order_mark(runtime: Runtime, tmp_path: Path, sign: str) -> None:
    log = file(tmp_path / "log.csv", "\ufeff" + sign.join(["user_id", "item_id"]) + "\n" + sign.join(["u,1", "a"]))
    assert import_interactions(runtime.database, log, {}).taken == 1
    assert events(runtime)[0][:2] == ("u,1", "a")


def test_gzipped_files_and_names_in_capitals(runtime: Runtime, tmp_path: Path) -> None:
    log = file(tmp_path / "log.csv.gz", gzip.compress(b"user_id,item_id\nu1,a\n"))
    assert import_interactions(runtime.database, log, {}).taken == 1
    pq.write_table(pa.table({"user_id": ["u2"], "item_id": ["a"]}), tmp_path / "LOG.PARQUET")
    assert import_interactions(runtime.database, tmp_path / "LOG.PARQUET", {}).taken == 1


def test_words_for_nothing_are_nothing_in_numbers_and_ids_and_words_in_texts(runtime: Runtime, tmp_path: Path) -> None:
    log = file(tmp_path / "l.csv", "user_id,item_id,value,type\nu1,a,NA,null\nNULL,a,1,\nu2,nan,1,\nu3,a,,\n")
    count = import_interactions(runtime.database, log, {})
    assert [row[:4] for row in events(runtime)] == [("u1", "a", "null", None), ("u3", "a", "rating", None)]
    assert sum(count.skipped.values()) == 2
    import_items(runtime.database, file(tmp_path / "i.csv", "item_id,title,category,price\na,None,NA,NULL\n"), {})
    assert items(runtime) == {"a": ("None", "NA", None, 1, {})}


@pytest.mark.parametrize("resolution", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_of_parquet(runtime: Runtime, tmp_path: Path, resolution: str, zone: str | None) -> None:
    given = NOON if zone else NOON.replace(tzinfo=None)
    times = pa.array([given], pa.timestamp(resolution, zone))
    if resolution == "ns":
        times = pa.array([times.cast(pa.int64())[0].as_py() + 1], pa.int64()).cast(times.type)  # no microsecond
    pq.write_table(pa.table({"user_id": ["u"], "item_id": ["a"], "timestamp": times}), tmp_path / "l.parquet")
    assert import_interactions(runtime.database, tmp_path / "l.parquet", {}).taken == 1
    assert events(runtime)[0][4] == NOON.timestamp() * MICROS


def test_other_types_of_parquet(runtime: Runtime, tmp_path: Path) -> None:
    columns = {
        "user_id": pa.array([b"u1", b"u2", b"\xff", b"u4", b"u5", None]),
        "item_id": pa.array([1, 2, 3, 4, 5, 6]),
        "type": pa.array(["click", "view", "click", None, "click", "click"]).dictionary_encode(),
        "value": pa.array([Decimal("1.50"), None, Decimal(2), Decimal(3), Decimal(4), Decimal(5)]),
        "timestamp": pa.array([dt.date(2024, 5, 1)] * 6),
    }
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    count = import_interactions(runtime.database, tmp_path / "l.parquet", {})
    midnight = round(dt.datetime(2024, 5, 1, tzinfo=dt.UTC).timestamp()) * MICROS
    assert events(runtime) == [
        ("u1", "1", "click", 1.5, midnight), ("u2", "2", "view", None, midnight), ("u4", "4", "rating", 3, midnight),
        ("u5", "5", "click", 4, midnight),
    ]  # fmt: skip
    assert dict(count.first_rows) == {
        "user_id: must be UTF-8 text": 3, "user_id: must be a string of 1 to 200 characters": 6,
    }  # fmt: skip


def test_ids_that_are_numbers(runtime: Runtime, tmp_path: Path) -> None:
    """Of a column with gaps, tools make floats."""
    columns = {"user_id": [7.0, float("nan"), 8.5], "item_id": [Decimal("1.00"), Decimal(2), Decimal("3.50")]}
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    count = import_interactions(runtime.database, tmp_path / "l.parquet", {})
    assert [row[:2] for row in events(runtime)] == [("7", "1"), ("8.5", "3.50")]
    assert dict(count.first_rows) == {"user_id: must not be empty": 2}


def test_what_cannot_be_an_id_or_a_number(runtime: Runtime, tmp_path: Path) -> None:
    columns = {"user_id": [["u1"], ["u2"]], "item_id": ["a", "b"], "value": [True, False]}
    pq.write_table(pa.table(columns), tmp_path / "l.parquet")
    assert dict(import_interactions(runtime.database, tmp_path / "l.parquet", {}).skipped) == {
        "user_id: must be text or a number": 2
    }
    pq.write_table(pa.table(columns | {"user_id": ["u1", "u2"]}), tmp_path / "l.parquet")
    assert dict(import_interactions(runtime.database, tmp_path / "l.parquet", {}).skipped) == {
        "value: must be a number": 2
    }


def test_rules_of_events_hold_for_files_as_well(runtime: Runtime, tmp_path: Path) -> None:
    lines = [
        "u1,a,1e300,2024-05-01,click", "u2,a,inf,2024-05-01,click", "u3,a,-3,2024-05-01,click",
        "u4,a,1,1960-05-01,click", "u5,a,1,2999-05-01,click", f"u6,a,1,2024-05-01,{'x' * 65}",
        f"{'u' * 201},a,1,2024-05-01,click", "u\x00,a,1,2024-05-01,click",
    ]  # fmt: skip
    log = file(tmp_path / "l.csv", "\n".join(["user_id,item_id,value,timestamp,type", *lines]))
    count = import_interactions(runtime.database, log, {})
    assert [row[0] for row in events(runtime)] == ["u3"]
    assert sorted(count.first_rows.values()) == [1, 2, 4, 5, 6, 7, 8]
    with pytest.raises(Invalid, match="type"):
        import_interactions(runtime.database, log, {}, kind="")
    with pytest.raises(Invalid, match="type"):
        import_interactions(runtime.database, log, {}, kind="x" * 65)


def test_items_of_parquet_in_types_that_json_does_not_have(runtime: Runtime, tmp_path: Path) -> None:
    columns = {
        "item_id": [1, 2, 3], "price": [Decimal("9.90"), None, Decimal(1)], "title": ["A", "B", "C"],
        "available": [1, 0, 1], "category": [10, 20, None], "since": [dt.date(2024, 5, 1), None, dt.date(2025, 1, 1)],
        "weight": [Decimal("0.5"), Decimal(2), None], "tags": [["x", "y"], [], None], "score": [float("nan"), 1.5, 2.0],
        "raw": [b"ok", b"\xff", None],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "i.parquet")
    extra = ("since", "weight", "tags", "score", "raw")
    count = import_items(runtime.database, tmp_path / "i.parquet", {}, attributes=extra)
    assert items(runtime) == {
        "1": (
            "A",
            "10",
            9.9,
            1,
            {"since": "2024-05-01", "weight": 0.5, "tags": ["x", "y"], "score": None, "raw": "ok"},
        ),
        "3": ("C", None, 1.0, 1, {"since": "2025-01-01", "score": 2.0}),
    }
    assert dict(count.first_rows) == {"raw: must be UTF-8 text": 2}


def test_attributes_that_a_database_cannot_keep(runtime: Runtime, tmp_path: Path) -> None:
    lines = ["item_id;attributes", 'a;{"x": "\\u0000"}', 'b;{"x": 1}', "c;[1]", "d;{"]
    count = import_items(runtime.database, file(tmp_path / "i.csv", "\n".join(lines)), {})
    assert items(runtime) == {"b": ("", None, None, 1, {"x": 1})}
    assert sorted(count.first_rows.values()) == [1, 3, 4]


def test_items_that_come_twice_count_as_replaced(runtime: Runtime, tmp_path: Path) -> None:
    count = import_items(runtime.database, file(tmp_path / "i.csv", "item_id,title\na,Old\nb,B\na,New\n"), {})
    assert (count.taken, count.replaced) == (2, 1)
    assert items(runtime)["a"][0] == "New"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "is empty"),
        ("no.parquet", b"PAR1 this is none", "cannot be read"),
        ("latin.csv", b"user_id,item_id,caf\xe9\nu,a,1\n", "cannot be read"),
        ("no.csv.gz", b"user_id,item_id\nu,a\n", "cannot be read"),
        ("twice.csv", b"user_id,item_id,item_id\nu,a,b\n", "more than one column named item_id"),
    ],
)
def test_files_that_are_none_say_so(runtime: Runtime, tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = file(tmp_path / name, content)
    with pytest.raises(Invalid, match=says):
        import_interactions(runtime.database, path, {})
    if name.endswith(".parquet"):  # the command asks for this first
        with pytest.raises(Invalid, match=says):
            row_count(path)


def test_a_person_is_known_by_the_id_of_now(runtime: Runtime, tmp_path: Path) -> None:
    with runtime.database.write() as session:
        catalogue.add_alias(session, "ann", "cookie-1")
    log = file(tmp_path / "l.csv", "user_id,item_id,timestamp\ncookie-1,a,2024-05-01\nann,b,2024-05-01\n")
    assert import_interactions(runtime.database, log, {}).taken == 2
    assert [row[:2] for row in events(runtime)] == [("ann", "a"), ("ann", "b")]
    assert import_interactions(runtime.database, log, {}).duplicates == 2


def test_what_was_before_an_erasure_does_not_bring_a_person_back(runtime: Runtime, tmp_path: Path) -> None:
    now = now_micros()
    with runtime.database.write() as session:
        erasures.note(session, ["ann"], now - 86_400 * MICROS)
    lines = ["user_id,item_id,timestamp", "bob,a,2024-05-01", "ann,a,2024-05-01", f"ann,b,{now / MICROS - 3_600}"]
    log = file(tmp_path / "l.csv", "\n".join(lines))
    count = import_interactions(runtime.database, log, {})
    assert [row[:2] for row in events(runtime)] == [("ann", "b"), ("bob", "a")]
    assert (count.taken, count.duplicates, dict(count.first_rows)) == (2, 0, {ERASED: 2})


def test_pseudonyms_and_ids_of_the_file(runtime: Runtime, tmp_path: Path) -> None:
    hide = Pseudonyms("k" * 16)
    log = file(tmp_path / "l.csv", "user_id,item_id,event_id\nu,a,e1\nu,b,e1\nu,c,\n,d,e2\n")
    count = import_interactions(runtime.database, log, {}, pseudonyms=hide)
    assert (count.taken, count.duplicates, sum(count.skipped.values())) == (2, 1, 1)
    assert {row[0] for row in events(runtime)} == {hide("u")}
    assert "e1" in {row[0] for row in events(runtime, "event_id")}


def test_many_rows_come_in_portions_and_bad_ones_keep_their_numbers(runtime: Runtime, tmp_path: Path) -> None:
    size = PORTION + BATCH + 7
    lines = ["user_id,item_id,value,timestamp"] + [f"u{n % 997},i{n % 31},{n % 5},2024-05-01" for n in range(size)]
    lines[3 * BATCH] = "u,i"
    lines[3 * BATCH + 5] = "u,i,bad,2024-05-01"
    log = file(tmp_path / "l.csv", "\n".join(lines))
    told: list[int] = []
    count = import_interactions(runtime.database, log, {}, told=told.append)
    assert count.taken == size - 2
    assert sorted(count.first_rows.values()) == [3 * BATCH, 3 * BATCH + 5]
    assert sum(told) == size - 1
    again = import_interactions(runtime.database, log, {})
    assert (again.taken, again.duplicates) == (0, size - 2)


@given(st.lists(st.lists(st.integers(0, 6), max_size=12), max_size=8))
def test_seen_counts_as_a_counter_does(batches: list[list[int]]) -> None:
    import numpy as np

    seen, expected = Seen(), Counter[int]()
    for batch in batches:
        again = seen.again(np.array(batch, dtype=np.uint64))
        for place, mark in enumerate(batch):
            expected[mark] += 1
            assert again.get(place, 1) == expected[mark]
