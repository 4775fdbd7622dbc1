"""Sums of many metrics at once are those of each by itself; caps at a percentile are NumPy's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import delete

from reclift.domain.metric import Metric, MetricKind, Source
from reclift.storage.aggregates import Segment, arm_counts, arm_sums, cap_value
from reclift.storage.aggregates_many import Asked, many_arm_sums
from reclift.storage.database import Database, abreast
from reclift.storage.migrate import migrate
from reclift.storage.tables import ExperimentUnit, UnitTotal
from tests.services import PostgresServer

ARMS = ("control", "new", "other")
RATIOS = [Metric(f"r{n}", f"r{n}", MetricKind.RATIO, Source("click"), Source("impression")) for n in range(4)]
MEANS = [Metric(f"m{n}", f"m{n}", MetricKind.SUM, Source("purchase", "value")) for n in range(4)]
NEVER = Metric("never", "never", MetricKind.SUM, Source("wish"))


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """300 units with numbers of either sign in two experiments, some with a row of each metric, some in two arms."""
    server: PostgresServer | None = None
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path_factory.mktemp('sums') / 'test.db'}")
    else:
        server = request.getfixturevalue("postgres_server")
        database = Database(server.create_database("test_report_sums"))
    migrate(database)
    random = np.random.default_rng(3)
    with database.write() as session:
        for experiment in ("e", "another"):
            for number in range(300):
                arm, several = ARMS[number % 3], number % 50 == 0
                session.add(
                    ExperimentUnit(
                        experiment=experiment, phase=1, unit_id=f"u{number}", arm=arm, exposed_at=0, day=0,
                        arms_seen=1 + several, impressions=1, attributes={"country": "CN" if number % 4 else "US"},
                    )
                )  # fmt: skip
                for metric in (*RATIOS, *MEANS):
                    if random.random() < 0.6:
                        x, y, u, v = random.normal(1.0, 5.0, 4).tolist()
                        session.add(
                            UnitTotal(
                                experiment=experiment, phase=1, metric=metric.key, arm="" if several else arm,
                                unit_id=f"u{number}", numerator=x, denominator=y, pre_numerator=u, pre_denominator=v,
                            )
                        )  # fmt: skip
    yield database
    database.dispose()
    if server is not None:
        server.drop_database("test_report_sums")


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("segment", [None, Segment("country", "US")])
def test_many_at_once_are_each_by_itself(database: Database, segment: Segment | None, connections: int) -> None:
    asked = [Asked(one, cap) for one, cap in zip([*RATIOS, *MEANS, NEVER], [None, 2.0, None, None] * 3, strict=False)]
    with database.read_abreast(connections) as session:
        assert len(abreast(session)) == (connections if database.is_sqlite else 1)
        units = arm_counts(session, "e", 1, segment)
        assert set(units) == set(ARMS)
        found = many_arm_sums(session, "e", 1, asked, units, segment=segment)
        assert list(found) != []
        assert set(found) == {one.metric.key for one in asked}
        for metric, cap in asked:
            alone = arm_sums(session, "e", 1, metric, units, cap=cap, segment=segment)
            for arm in ARMS:
                assert found[metric.key][arm].to_dict() == pytest.approx(alone[arm].to_dict(), rel=1e-12), metric.key
        assert found["never"]["new"].xx == 0
        assert found["r0"]["new"].xv != 0


def test_what_fails_beside_fails_here(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from reclift.storage import aggregates_many

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(aggregates_many, "arm_sums", fail)
    with database.read_abreast(2) as session, pytest.raises(ZeroDivisionError):
        many_arm_sums(session, "e", 1, [Asked(one, 1.0) for one in RATIOS], arm_counts(session, "e", 1))


@pytest.mark.parametrize("percentile", [0.5, 0.613, 0.75, 0.99, 1.0])
@pytest.mark.parametrize("units", [100, 294, 297, 1000])
def test_a_cap_at_a_percentile_is_numpys(database: Database, units: int, percentile: float) -> None:
    with database.read() as session:
        rows = session.query(UnitTotal.numerator).filter(
            UnitTotal.experiment == "e", UnitTotal.metric == "m1", UnitTotal.arm != ""
        )
        numbers = np.array([one for (one,) in rows])
        assert (numbers < 0).any()
        everyone = np.concatenate([numbers, np.zeros(max(0, units - len(numbers)))])
        metric = replace(MEANS[1], cap_percentile=percentile)
        expected = np.quantile(everyone, percentile)
        assert cap_value(session, "e", 1, metric, units) == pytest.approx(expected, rel=1e-12)
        assert cap_value(session, "e", 1, replace(metric, cap=0.01), units) == pytest.approx(min(expected, 0.01))
        assert cap_value(session, "e", 1, replace(metric, cap=7.0), 0) == 7.0


def test_a_metric_without_rows_is_capped_at_nothing(database: Database) -> None:
    with database.write() as session:
        session.execute(delete(UnitTotal).where(UnitTotal.metric == NEVER.key))
        assert cap_value(session, "e", 1, replace(NEVER, cap_percentile=0.9), 10) == 0.0
