"""What lists are like is worked out as they are made, from what people chose lately, and kept with the impression."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from reclift.domain.events import MICROS, Facts
from reclift.flows import item_novelty
from reclift.flows.clock import now, now_micros
from reclift.flows.wish import Wish
from reclift.storage.tables import ImpressionRow, ItemNovelty, ItemRow, JobRun
from reclift.wiring import Runtime
from reclift.worker import scheduled
from tests.unit.storage.rows import event

DAY = 24 * 3600 * MICROS


def chosen(here: Runtime, **users: int) -> None:
    """So many users clicked on each item, twice each; one did so a year ago; and some only looked."""
    at = now_micros() - DAY
    rows = [
        event(f"{item}-{user}-{again}", f"p{user}", at, item_id=item)
        for item, count in users.items()
        for user in range(count)
        for again in range(2)
    ]
    rows.append(event("old", "long-gone", at - item_novelty.DAYS * DAY, item_id="i9"))
    rows.append(event("seen", "looker", at, item_id="i9", type="page_view"))
    here.direct.append(Facts(rows))


def known(here: Runtime) -> dict[str, float]:
    with here.database.read() as session:
        return {row.item_id: row.bits for row in session.scalars(select(ItemNovelty))}


def test_items_are_the_more_novel_the_fewer_chose_them(shop: Runtime) -> None:
    chosen(shop, i0=7, i1=3, i2=1)
    with shop.database.read() as session:
        assert item_novelty.due(session)
    assert item_novelty.count(shop.database, {"click": 1.0}) == 10
    found = known(shop)
    assert (found["i0"], found["i1"], found["i2"], found["i9"]) == (0.0, 1.0, 2.0, 3.0)


@pytest.mark.parametrize(("small", "hours"), [(100, 1), (2, 24)])
def test_it_is_counted_once_a_day_and_every_hour_in_a_small_shop(
    shop: Runtime, monkeypatch: pytest.MonkeyPatch, small: int, hours: int
) -> None:
    monkeypatch.setattr(item_novelty, "SMALL", small)
    chosen(shop, i0=2)
    assert scheduled(shop, item_novelty.TASK) == 10
    for minutes, items in ((0, 0), (60 * hours - 1, 0), (60 * hours, 10)):
        with shop.database.write() as session:
            at = now() - timedelta(minutes=minutes)
            session.execute(update(JobRun).where(JobRun.task == item_novelty.TASK).values(finished_at=at))
        assert scheduled(shop, item_novelty.TASK) == items


def test_while_nobody_chose_anything_novelty_is_unknown(shop: Runtime) -> None:
    chosen(shop)  # a year ago, or only looked at
    assert item_novelty.count(shop.database, {"click": 1.0}) == 0
    shop.live.refresh()
    assert shop.live.current.items.most_novel is None


def test_without_items_or_events_there_is_nothing_to_count(here: Runtime) -> None:
    assert scheduled(here, item_novelty.TASK) == 0


def test_an_impression_keeps_what_its_list_was_like(shop: Runtime) -> None:
    chosen(shop, i0=7, i1=3)
    with shop.database.write() as session:
        session.execute(update(ItemRow).where(ItemRow.item_id.in_(["i0", "i1"])).values(category="mugs"))
        session.execute(update(ItemRow).where(ItemRow.item_id == "i2").values(category="hats"))
    ask = Wish(unit="u1", user_id="u1", placement="home", k=10, candidates=frozenset({"i0", "i1", "i2"}))
    shop.recommender.recommend(shop.live.current, ask)
    item_novelty.count(shop.database, {"click": 1.0})
    shop.live.refresh()
    shop.recommender.recommend(shop.live.current, ask)
    with shop.database.read() as session:
        before, after = session.scalars(select(ImpressionRow).order_by(ImpressionRow.at))
    assert (before.novelty, before.diversity) == (None, None)
    assert after.novelty == pytest.approx((0.0 + 1.0 + 3.0) / 3)
    assert after.diversity == pytest.approx(2 / 3)
