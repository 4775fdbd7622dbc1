"""Metrics, jobs and dead letters: what the pages say and what reaches the platform."""

from __future__ import annotations

import pytest

from tests.fake_backend import MANAGER
from tests.unit.web.test_pages import check

METRIC = {
    "name": "Wishes", "kind": "proportion", "direction": "increase", "format": "percent", "margin": "2",
    "numerator_event": "wish", "numerator_value": "count", "window_hours": "7", "minimum": "2",
}  # fmt: skip


def text_of(answer) -> str:
    check(answer.text)
    return answer.text


def test_a_metric_is_made_and_has_a_page(manager, platform):
    page = text_of(manager.send("/app/metrics/new", METRIC))
    assert "The metric Wishes is there" in page
    assert "The share of exposed users with 2 or more “wish” events; only the first 7 days" in page
    assert "No experiment reads it yet" in page
    assert platform.made["wishes"]["definition"]["minimum"] == 2
    assert ("create_metric", "wishes", MANAGER.email) in platform.calls
    assert "5 experiments" in text_of(manager.get("/app/metrics"))
    assert "home-recs" in text_of(manager.get("/app/metrics/ctr"))
    assert manager.get("/app/metrics/nope").status_code == 404


def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_is_kept(manager, platform):
    answer = manager.send("/app/metrics/new", METRIC | {"key": "ctr", "window_hours": "soon", "numerator_event": ""})
    page = text_of(answer)
    assert answer.status_code == 422
    assert "3 things to put right" in page
    assert 'id="error-window_hours"' in page
    assert "“soon” must be a number of days" in page
    assert 'value="soon"' in page
    assert "“ctr” is taken by another metric" in page
    for field in ("key", "window_hours", "numerator-event"):
        assert f'href="#f-{field}"' in page
        assert f'id="f-{field}"' in page
    assert not platform.made
    late = manager.send("/app/metrics/new", METRIC | {"key": "taken_meanwhile"})
    assert "was taken meanwhile" in text_of(late)


def test_a_copy_begins_with_the_definition(manager):
    page = text_of(manager.get("/app/metrics/new?copy=latency"))
    assert 'id="kind-ratio" value="ratio" data-fields="cap cap_percentile denominator" checked' in page
    assert "Begun as a copy of" in page
    assert manager.get("/app/metrics/new?copy=nope").status_code == 404


def test_the_form_is_said_in_words_while_one_types(manager, viewer):
    said = manager.send("/app/metrics/words", {**METRIC, "name": ""}).json
    assert said["problems"] == []
    assert said["sentence"].startswith("The share of exposed users with 2 or more “wish” events")
    missing = manager.send("/app/metrics/words", {**METRIC, "numerator_event": ""}).json
    assert missing["sentence"] is None
    assert missing["problems"] == ["numerator event must be an event type of 1 to 64 characters, or `impression`"]
    assert viewer.send("/app/metrics/words", METRIC).status_code == 403


def test_a_viewer_is_offered_no_step(viewer):
    for path in ("/app/metrics", "/app/metrics/ctr", "/app/jobs", "/app/jobs/1", "/app/events/dead-letters",
                 "/app/events/dead-letters/3"):  # fmt: skip
        page = text_of(viewer.get(path))
        assert "btn-primary" not in page
        assert "btn-danger" not in page
        assert 'method="post" action="/app/sign-out"' in page
        assert page.count('method="post"') == 1


def test_a_failed_run_says_why_and_is_run_again(manager, platform):
    page = text_of(manager.get("/app/jobs/1"))
    assert "Why it failed" in page
    assert "StrategyError: no item has a description" in page
    asked = text_of(manager.get("/app/jobs/1/again"))
    assert "It trains a model anew" in asked
    page = text_of(manager.send("/app/jobs/1/again"))
    assert "Job 1 is run again, as job 10" in page
    assert ("run_again", "1", MANAGER.email) in platform.calls


def test_what_is_not_over_is_not_run_again(manager, platform):
    assert manager.get("/app/jobs/4/again").status_code == 409
    page = text_of(manager.send("/app/jobs/4/again"))
    assert "cannot be run again: it is queued" in page
    assert "not possible: it is queued" in page
    assert [call for call in platform.calls if call[0] == "run_again"] == []
    assert manager.get("/app/jobs/999").status_code == 404


def test_events_say_that_something_lies_there(manager):
    assert "3 things that were acknowledged cannot be written" in text_of(manager.get("/app/events"))


def test_nothing_lies_there(manager_of_nothing):
    assert "cannot be written" not in text_of(manager_of_nothing.get("/app/events"))
    assert "Nothing lies here" in text_of(manager_of_nothing.get("/app/events/dead-letters"))


def test_dead_letters_are_filtered(manager):
    page = text_of(manager.get("/app/events/dead-letters?source=stream&q=nul"))
    assert "a string contains NUL" in page
    assert "out of range for a double" not in page
    assert "Replay these…" in page
    assert "No dead letter matches" in text_of(manager.get("/app/events/dead-letters?q=zzz"))


def test_a_payload_is_shown_and_never_run(manager):
    page = text_of(manager.get("/app/events/dead-letters/2"))
    assert "&lt;script&gt;alert(1)" in page
    assert "it cannot be read as JSON" in page
    assert "&#34;event_id&#34;: &#34;e-1&#34;" in text_of(manager.get("/app/events/dead-letters/3"))
    assert manager.get("/app/events/dead-letters/99").status_code == 404


def test_one_is_replayed_refused_or_discarded(manager, platform):
    assert "Dead letter 3 is written: 1 fact in it was new" in text_of(
        manager.send("/app/events/dead-letters/3/replay"))  # fmt: skip
    assert "cannot be written: it is no JSON" in text_of(manager.send("/app/events/dead-letters/2/replay"))
    assert "It cannot be brought back" in text_of(manager.get("/app/events/dead-letters/2/discard"))
    assert "Dead letter 2 is discarded" in text_of(manager.send("/app/events/dead-letters/2/discard"))
    assert [letter["id"] for letter in platform.letters] == ["1"]


def test_all_that_match_are_replayed_after_a_question(manager, platform):
    assert "Replay 2 dead letters?" in text_of(manager.get("/app/events/dead-letters/replay?source=stream"))
    page = text_of(manager.send("/app/events/dead-letters/replay", {"source": "stream", "q": ""}))
    assert "1 written, 1 facts of them new; 1 still refused." in page
    assert ("replay_all", "stream", "", MANAGER.email) in platform.calls
    assert [letter["id"] for letter in platform.letters] == ["2", "1"]


@pytest.mark.parametrize("path", ["/app/metrics/new", "/app/jobs/1/again", "/app/events/dead-letters/replay",
                                  "/app/events/dead-letters/3/discard"])  # fmt: skip
def test_a_viewer_may_not_even_ask(viewer, path):
    assert viewer.get(path).status_code == 403
