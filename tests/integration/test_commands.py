"""The commands for people with a file or a question, run as they are typed, on files as people have them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from scipy.stats import ttest_ind
from sqlalchemy import text

from reclift.cli import main
from reclift.flows import accounts
from reclift.storage.database import Database
from reclift.wiring import Runtime

Run = Callable[..., Result]


@pytest.fixture
def run(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("RECLIFT_DATA_DIR", str(runtime.settings.data_dir))
    monkeypatch.setenv("RECLIFT_DATABASE_URL", runtime.settings.database_url)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: object, fails: bool = False) -> Result:
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert (done.exit_code != 0) == fails, done.output
        return done

    return call


def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_items_come_in_with_their_attributes_and_bad_rows_are_counted(
    run: Run, runtime: Runtime, tmp_path: Path
) -> None:
    file = write(
        tmp_path / "catalogue.csv", "sku,title,price,available,colour", "a,Red scarf,12.5,true,red",
        "b,Blue scarf,cheap,true,blue", ",No id,1,true,", "c,Grey scarf,9,0,",
    )  # fmt: skip
    done = run("import", "items", file, "--map", "item_id=sku", "--attribute", "colour")
    assert "2 items taken, 0 known already, 2 skipped" in done.output
    assert "price: must be a number" in done.output
    assert "(first: row 2)" in done.output
    found = rows(runtime.database, "SELECT item_id, title, price, available, attributes FROM items ORDER BY item_id")
    assert found == [("a", "Red scarf", 12.5, 1, '{"colour":"red"}'), ("c", "Grey scarf", 9.0, 0, "{}")]
    write(file, "sku,title", "a,Crimson scarf")
    run("import", "items", file, "--map", "item_id=sku")
    assert ("Crimson scarf",) in rows(runtime.database, "SELECT title FROM items")


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_interactions_come_in_once_however_often_the_file_is_imported(
    run: Run, runtime: Runtime, tmp_path: Path, form: str
) -> None:
    columns = {
        "customer": ["u1", "u1", "u2", "u2", None, "u3"],
        "item_id": ["a", "a", "b", "c", "a", "a"],
        "timestamp": [*["2024-05-01T10:00:00Z"] * 2, "2024-05-02", "yesterday", "2024-05-02", "2024-05-03"],
        "value": ["5", "5", None, "1", "2", "much"],
    }  # fmt: skip
    file = tmp_path / f"log.{form}"
    if form == "csv":
        with file.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    else:
        pq.write_table(pa.table(columns), file)
    words = ("import", "interactions", file, "--map", "user_id=customer", "--type", "view")
    done = run(*words)
    assert "3 interactions taken, 0 known already, 3 skipped" in done.output
    assert "strategies learn nothing from events of type view" in done.output
    for reason in ("timestamp: must be ISO 8601", "user_id: must be a string of 1", "value: must be a number"):
        assert reason in done.output
    stored = rows(runtime.database, "SELECT unit_id, item_id, type, value FROM events ORDER BY unit_id")
    assert stored == [("u1", "a", "view", 5.0), ("u1", "a", "view", 5.0), ("u2", "b", "view", None)]
    assert "0 interactions taken, 3 known already, 3 skipped" in run(*words).output
    assert len(rows(runtime.database, "SELECT 1 FROM events")) == 3


def test_what_cannot_be_imported_says_why(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "log.csv", "who,what", "u1,a")
    torn = write(tmp_path / "log.parquet", "PAR1")
    for words, says in (
        (("interactions", file), "map it: --map user_id=COLUMN"),
        (("interactions", file, "--map", "user_id"), "must be OURS=THEIRS"),
        (("interactions", file, "--map", "user_id=whom"), "it has who, what"),
        (("items", tmp_path / "gone.csv"), "does not exist"),
        (("items", tmp_path), "cannot be read"),
        (("interactions", torn), "cannot be read"),
        (("experiment", file), "map it: --map user_id=COLUMN"),
    ):
        done = run("import", *words, fails=True)
        assert says in done.output
        assert "Traceback" not in done.output


def log_of(path: Path) -> Path:
    """120 people in two arms; every list has two items, and some first items are clicked, some bought for 20."""
    lines = ["visitor,variant,shown_at,list,item,place,click,purchase,country"]
    for number in range(120):
        arm = ("old", "new")[number % 2]
        clicked = number % 3 == 0 or (arm == "new" and number % 5 == 0)
        for place, item in enumerate(("a", "b"), start=1):
            bought = 20.0 if clicked and place == 1 and number % 4 == 0 else ""
            lines.append(
                f"v{number},{arm},2024-05-{1 + number % 9:02}T10:00:00Z,l{number},{item},{place},"
                f"{int(clicked and place == 1)},{bought},{'DE' if number % 7 else 'FR'}"
            )
    return write(path, *lines)


LOG_OPTIONS = (
    "--map", "user_id=visitor", "--map", "arm=variant", "--map", "timestamp=shown_at", "--map", "list_id=list",
    "--map", "item_id=item", "--map", "position=place", "--control", "old", "--attribute", "country",
    "--secondary", "revenue_per_user", "--secondary", "conversion",
)  # fmt: skip


def test_an_experiment_that_ran_elsewhere_is_reported_on(run: Run, runtime: Runtime, tmp_path: Path) -> None:
    file = log_of(tmp_path / "Spring Test.csv")
    done = run("import", "experiment", file, *LOG_OPTIONS)
    assert "240 rows taken, 0 known already, 0 skipped" in done.output
    assert "experiment spring-test: 120 lists, arms old, new" in done.output
    body = json.loads(run("report", "spring-test", "--json").stdout)
    assert [(arm["arm"], arm["control"], arm["units"], arm["impressions"]) for arm in body["arms"]] == [
        ("old", True, 60, 60), ("new", False, 60, 60),
    ]  # fmt: skip
    clicks = {arm: [] for arm in ("old", "new")}
    spent = {arm: [] for arm in ("old", "new")}
    with file.open() as stream:
        for row in csv.DictReader(stream):
            if row["place"] == "1":
                clicks[row["variant"]].append(float(row["click"]))
                spent[row["variant"]].append(float(row["purchase"] or 0))
    for metric, values in (("ctr", clicks), ("revenue_per_user", spent)):
        (compared,) = next(one["comparisons"] for one in body["metrics"] if one["metric"] == metric)
        old, new = (sum(values[arm]) / 60 for arm in ("old", "new"))
        assert compared["lift"] == pytest.approx(new / old - 1, rel=1e-9)
        assert compared["p_value"] == pytest.approx(
            ttest_ind(values["new"], values["old"], equal_var=False).pvalue, rel=1e-6
        )
    attributes = {json.loads(one)["country"] for (one,) in rows(runtime.database, "SELECT attributes FROM exposures")}
    assert attributes == {"DE", "FR"}
    assert "is there already" in run("import", "experiment", file, *LOG_OPTIONS, fails=True).output


def test_the_report_as_a_table_and_in_words(run: Run, tmp_path: Path) -> None:
    run("import", "experiment", log_of(tmp_path / "t.csv"), *LOG_OPTIONS, "--key", "spring")
    table = list(csv.DictReader(io.StringIO(run("report", "spring", "--csv").stdout)))
    assert {row["metric"] for row in table} == {"ctr", "revenue_per_user", "conversion"}
    assert {row["arm"] for row in table} == {"old", "new"}
    words = run("report", "spring").output
    assert words.startswith("spring: ")
    assert "CTR" in words
    assert "+40.0%" in words
    assert "no experiment 'autumn'" in run("report", "autumn", fails=True).output


def test_rows_of_a_log_that_cannot_be_used_are_counted(run: Run, tmp_path: Path) -> None:
    file = write(
        tmp_path / "log.csv", "user_id,arm,timestamp,list_id,item_id,propensity,liked", "u1,a,2024-05-01,l1,i1,0.5,1",
        "u2,a,2024-05-01,l1,i2,0.5,0", "u2,b,soon,l2,i1,0.5,0", "u3,b,2024-05-01,l3,i1,7,0",
        "u4,b,2024-05-01,l4,i1,,true", ",b,2024-05-01,l5,i1,,1", "u6,b,2024-05-01,l6,i1,,often",
    )  # fmt: skip
    done = run("import", "experiment", file, "--event", "click=liked", "--weight", "a=0.25", "--weight", "b=0.75")
    assert "2 rows taken, 0 known already, 5 skipped" in done.output
    for reason in (
        "list_id: has rows of another user or arm before (first: row 2)", "timestamp: must be ISO 8601",
        "propensity: must be a chance above 0, at most 1 (first: row 4)", "user_id: must be a string",
        "click: must be a number (first: row 7)",
    ):  # fmt: skip
        assert reason in done.output
    body = json.loads(run("report", "log", "--json").stdout)
    assert body["srm"]["expected"] == [0.5, 1.5]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--control", "c"), "must be an arm of the log: a, b"),
        (("--weight", "a=0.5"), "missing: b"),
        (("--weight", "a=half"), "must be ARM=SHARE"),
        (("--event", "wish"), "names no column of the file"),
        (("--metric", "vibes"), "vibes"),
    ],
)
def test_a_log_that_does_not_fit_the_question_changes_nothing(
    run: Run, runtime: Runtime, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    file = write(tmp_path / "log.csv", "user_id,arm,timestamp,item_id", "u1,a,2024-05-01,i1", "u2,b,2024-05-01,i1")
    assert says in run("import", "experiment", file, *words, fails=True).output
    assert rows(runtime.database, "SELECT key FROM experiments") == []
    assert rows(runtime.database, "SELECT 1 FROM impressions") == []


def test_one_arm_is_no_experiment(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "log.csv", "user_id,arm,timestamp", "u1,a,2024-05-01", "u2,a,2024-05-01")
    assert "at least two arms" in run("import", "experiment", file, fails=True).output


def test_accounts_and_keys_show_their_secret_once(run: Run, runtime: Runtime) -> None:
    password = run("create-user", "ann@shop.example", "--role", "manager", "--name", "Ann").stdout.strip()
    secret = run("create-key", "shop front", "--scope", "shop", "--scope", "read").stdout.strip()
    with runtime.database.write() as session:
        person = accounts.authenticate(session, "ann@shop.example", password)
    assert person is not None
    assert (person.name, person.role) == ("Ann", "manager")
    runtime.live.refresh()
    (key,) = [key for key in runtime.live.current.keys.values() if key.name == "shop front"]
    assert key.scopes == {"shop", "read"}
    stored = rows(runtime.database, "SELECT * FROM api_keys") + rows(runtime.database, "SELECT * FROM accounts")
    assert not any(secret in str(row) or password in str(row) for row in stored)
    assert "ann@shop.example" in run("create-user", "ann@shop.example", "--role", "viewer", fails=True).output


def test_training_by_command(run: Run, runtime: Runtime, tmp_path: Path) -> None:
    lines = [f"u{user},i{(user + step) % 12},2024-05-{1 + step:02}" for user in range(30) for step in range(5)]
    run("import", "interactions", write(tmp_path / "log.csv", "user_id,item_id,timestamp", *lines))
    assert "no available item" in run("train", "popularity", fails=True).output
    run("import", "items", write(tmp_path / "items.csv", "item_id", *(f"i{number}" for number in range(12))))
    assert "150 interactions of 30 users with 12 items" in run("train", "popularity", "item_cf").output
    found = rows(runtime.database, "SELECT strategy, version, state, active FROM models ORDER BY strategy, version")
    assert found == [("item_cf", 1, "ready", 1), ("popularity", 1, "rejected", 0), ("popularity", 2, "ready", 1)]
    assert "magic" in run("train", "magic", fails=True).output
