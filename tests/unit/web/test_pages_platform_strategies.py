"""What people do with strategies, placements and models, over the real platform."""

from __future__ import annotations

import pytest

from reclift.domain.events import Facts
from reclift.flows.clock import now_micros
from reclift.storage.tables import JobRun
from reclift.wiring import Runtime
from tests.unit.storage.rows import event
from tests.unit.web.conftest import Browser
from tests.unit.web.test_pages_platform import people, text_of

__all__ = ["people"]

HOME = {"name": "Home page", "strategy": "popularity", "fallback-0-strategy": "popularity", "fallback-0-params": "",
        "seen": "bought", "explore": "", "balance": "", "category_cap": ""}  # fmt: skip


def trainings(runtime: Runtime) -> int:
    with runtime.database.read() as session:
        return session.query(JobRun).filter_by(task="train").count()


def test_a_placement_as_every_installation_has_it_is_saved_as_it_is(people: Browser):
    answer = people.send("/app/placements/home", HOME)
    assert answer.status_code == 200
    assert "The placement Home page is saved." in text_of(answer)


def test_wrong_parameters_of_a_fallback_stand_beside_it(people: Browser):
    answer = people.send("/app/placements/home", {**HOME, "fallback-0-params": '{"window_days": -1}'})
    assert answer.status_code == 422
    page = text_of(answer)
    assert "fallback 1, window days: -1 must be greater than 0" in page
    assert 'href="#f-fallback-0-params-window_days"' not in page
    assert 'href="#f-fallback-0-params"' in page


@pytest.mark.parametrize(("strategy", "sent", "said"), [
    ("popularity", {"params-window_days": "-1"}, "window days must be more than 0"),
    ("popularity", {"params-segment": "x" * 101}, "segment must"),
    ("ease", {"params-regularization": "0", "params-k": "-1"}, "regularization must be more than 0"),
    ("hybrid", {"params-components": '[{"strategy": "ease"}, {"strategy": "user_cf", "weight": 0}]'},
     "component 2, weight must be greater than 0"),
    ("hybrid", {"params-components": '[{"strategy": "hybrid"}]'}, "components may not be hybrids themselves"),
    ("hybrid", {"params-components": "[{"}, "components must be JSON"),
])  # fmt: skip
def test_a_wrong_parameter_is_named_where_it_was_typed(runtime: Runtime, people: Browser, strategy, sent, said):
    before = trainings(runtime)
    answer = people.send(f"/app/strategies/{strategy}/train", sent)
    assert answer.status_code == 422
    page = text_of(answer)
    assert said in " ".join(page.replace("</a>", "").split())
    for value in sent.values():
        assert value.replace('"', "&#34;") in page  # what was typed is still there
    assert trainings(runtime) == before


def test_those_seen_lately_stand_once_each_the_latest_first(runtime: Runtime, people: Browser):
    pages = people.application.extensions["reclift"].pages
    assert pages.people_lately() == []
    at = now_micros()
    ids = ["a", "b", "a", "c", "d", "e"]
    runtime.direct.append(Facts([event(str(n), unit, at - n, item_id="i1") for n, unit in enumerate(ids)]))
    assert pages.people_lately() == ["a", "b", "c", "d"]
