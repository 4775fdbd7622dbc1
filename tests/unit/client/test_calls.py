"""Calls: time limits, retries of safe calls only, and errors that say what to mend."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reclift.client import ApiError, NotReady, Reclift, RecliftError, Unreachable
from reclift.domain.experiment import Arm, Experiment
from reclift.domain.plan import Plan
from reclift.domain.plan_json import to_json
from tests.services import wait_until

ASSIGNED = {
    "user_id": "u1",
    "assignments": [
        {
            "experiment": "e",
            "arm": "b",
            "in_experiment": True,
            "reason": "bucketed",
            "strategy": "s",
            "params": {"k": 1},
        }
    ],
}
SHOWN = {
    "recommendation_id": "r1", "user_id": "u1", "session_id": None, "placement": "home", "experiment": None,
    "arm": None, "strategy": "popularity", "model": None, "fallback": None,
    "items": [{"item_id": "i7", "position": 1, "score": 0.5, "source": "popularity", "reason": "new"}],
}  # fmt: skip
BUSY = (503, {"title": "Not ready", "detail": "later"})


def test_assign_sends_what_is_given(server, make):
    server.answers = [(200, ASSIGNED)]
    one = make().assign("u1", "e", {"country": "CN"})
    assert (one.arm, one.reason, one.strategy, one.params, one.counts) == ("b", "bucketed", "s", {"k": 1}, True)
    method, path, body, _ = server.asked[0]
    assert (method, path) == ("POST", "/assign")
    assert body == {"user_id": "u1", "experiment": "e", "attributes": {"country": "CN"}}
    assert make().assign_all("u1") == [one]
    assert server.asked[1][2] == {"user_id": "u1"}


def test_a_retried_recommendation_is_one_impression(server, make):
    server.answers = [BUSY, (200, SHOWN)]
    shown = make().recommend("home", user_id="u1", k=3, context_item="i9", exclude=["i3"])
    assert (shown.recommendation_id, shown.item_ids, shown.answer) == ("r1", ("i7",), SHOWN)
    first, second = (body for _, _, body, _ in server.asked)
    assert first == second
    assert first.pop("request_id")
    assert first == {
        "placement": "home", "user_id": "u1", "k": 3, "context": {"item_id": "i9"}, "exclude": ["i3"],
    }  # fmt: skip


def test_safe_calls_are_retried_so_often_and_no_more(server, make):
    server.answers = [BUSY]
    with pytest.raises(ApiError, match="503 Not ready: later") as caught:
        make(retries=2).assign("u1", "e")
    assert caught.value.status == 503
    assert len(server.asked) == 3


def test_a_call_that_is_not_safe_is_never_repeated(server, make):
    server.answers = [BUSY]
    with pytest.raises(ApiError):
        make(retries=5).erase_user("a/b c")
    assert [(method, path) for method, path, _, _ in server.asked] == [("DELETE", "/users/a%2Fb%20c")]


def test_a_refusal_is_not_retried_and_names_the_fields(server, make):
    problem = {
        "title": "Invalid request", "detail": "user_id=None: …", "errors": [{"field": "user_id", "value": None}],
    }  # fmt: skip
    server.answers = [(422, problem)]
    with pytest.raises(ApiError) as caught:
        make().assign("", "e")
    assert caught.value.errors == [{"field": "user_id", "value": None}]
    assert len(server.asked) == 1


def test_a_slow_server_is_given_up_in_time(server, make):
    server.gate.clear()
    with pytest.raises(Unreachable):
        make(timeout=0.05, retries=1).assign("u1", "e")
    assert len(server.asked) == 2


def test_nobody_there(free_port):
    with Reclift(f"http://127.0.0.1:{free_port}", "k", retries=0) as client, pytest.raises(Unreachable):
        client.assign("u1", "e")


def test_something_else_answers(server, make):
    server.answers = [(200, b"<html>welcome to the hotel's wifi</html>")]
    with pytest.raises(Unreachable, match="something else than JSON"):
        make().assign("u1", "e")
    server.answers = [(404, b"<html>")]
    with pytest.raises(ApiError, match="something else than JSON"):
        make().assign("u1", "e")


def test_what_cannot_be_written_is_a_failure_of_the_same_kind(make):
    with pytest.raises(RecliftError, match="cannot be written as JSON"):
        make().assign("u1", "e", {"x": object()})


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"batch_size": 1001}, {"timeout": 0}, {"refresh_seconds": -1}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Reclift("http://localhost", "k", **wrong)


def test_deciding_before_there_is_a_plan_says_so(server, make):
    server.answers = [(503, {"title": "Not ready", "detail": ""})]
    client = make(retries=0)
    assert client.wait_until_ready(0.1) is False
    with pytest.raises(NotReady):
        client.decide("u1", "e")
    assert client.plan_age_seconds is None


def test_the_last_good_plan_decides_while_the_server_is_away(server, make):
    plan = to_json(Plan([Experiment("e", "home", (Arm("a", "s", control=True), Arm("b", "s")))]))
    server.answers = [(200, plan, {"ETag": '"one"'}), (304, None), BUSY]
    client = make(retries=0, refresh_seconds=0.01)
    assert client.wait_until_ready(10)
    before = client.decide("u1", "e")
    assert (before.reason, before.strategy, before.phase) == ("bucketed", "s", 1)
    wait_until(lambda: len(server.asked) >= 5, 10)
    assert client.decide("u1", "e") == before
    assert [headers.get("If-None-Match") for _, _, _, headers in server.asked[:3]] == [None, '"one"', '"one"']
    assert client.plan_age_seconds > 0


def test_a_plan_of_another_format_is_not_half_understood(server, make, caplog):
    server.answers = [(200, {"format": 2})]
    client = make()
    assert client.wait_until_ready(0.2) is False
    assert "format=2" in caplog.text


def test_importing_it_is_light():
    code = (
        "import sys, reclift.client; heavy = {'flask', 'sqlalchemy', 'numpy', 'pydantic', 'celery', 're2'}; "
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
