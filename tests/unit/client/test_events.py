"""Events are queued and sent in the background: bounded, once, and never at the shop's cost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.services import wait_until

TAKEN = (202, {"accepted": 1, "duplicates": 0, "rejected": []})


def taken(body):
    return 202, {"accepted": len(body["events"]), "duplicates": 0, "rejected": []}


def test_events_go_out_in_batches_with_ids_and_times(server, make):
    server.answers = [taken]
    client = make(batch_size=10)
    for number in range(25):
        assert client.track("click", user_id=f"u{number}", item_id="i1", value=1.5, properties={"page": "home"})
    assert client.flush()
    events = server.events()
    assert [event["user_id"] for event in events] == [f"u{number}" for number in range(25)]
    assert len({event["event_id"] for event in events}) == 25
    assert all(event["timestamp"].endswith("+00:00") for event in events)
    assert events[0].keys() == {"event_id", "timestamp", "type", "user_id", "item_id", "value", "properties"}
    assert max(len(body["events"]) for _, _, body, _ in server.asked) <= 10
    assert (client.events.accepted, client.events.waiting) == (25, 0)
    assert server.asked[0][3]["Authorization"] == "Bearer rl_key"


def test_own_ids_and_times_are_kept(server, make):
    client = make()
    client.track("click", user_id="u", event_id="mine", timestamp="2026-01-01T00:00:00Z")
    client.flush()
    assert [(event["event_id"], event["timestamp"]) for event in server.events()] == [("mine", "2026-01-01T00:00:00Z")]


def test_a_full_queue_drops_what_comes_and_counts_it_without_waiting(server, make):
    server.gate.clear()  # the server takes the call and does not answer
    client = make(queue_size=5, batch_size=2, timeout=15)
    told = [client.track("click", user_id=f"u{number}") for number in range(8)]
    assert told == [True] * 5 + [False] * 3
    assert (client.events.dropped, client.events.waiting) == (3, 5)
    assert client.flush(timeout=0.05) is False
    server.answers = [taken]
    server.gate.set()
    assert client.flush()
    assert client.events.accepted == 5


@pytest.mark.parametrize("fault", [(503, {"title": "Not durable", "detail": "later"}), (429, {}), (500, b"<html>")])
def test_what_the_server_cannot_take_now_is_sent_again(server, make, fault):
    server.answers = [fault, fault, taken]
    client = make()
    client.track("click", user_id="u1", event_id="once")
    wait_until(lambda: client.events.accepted == 1, 10)
    assert [event["event_id"] for event in server.events()] == ["once"] * 3
    assert client.events.rejected == client.events.dropped == 0


def test_what_the_server_will_never_take_is_given_up(server, make, caplog):
    server.answers = [(401, {"title": "Unauthorized", "detail": "this API key is unknown"})]
    client = make()
    client.track("click", user_id="u1")
    assert client.flush()
    assert (client.events.rejected, len(server.asked)) == (1, 1)
    assert "this API key is unknown" in caplog.text


def test_rejected_events_are_counted_and_the_reason_is_logged(server, make, caplog):
    server.answers = [(202, {"accepted": 1, "duplicates": 1, "rejected": [{"index": 0, "error": "type=''"}]})]
    client = make(flush_seconds=5, batch_size=3)
    for _ in range(3):
        client.track("click", user_id="u1")
    assert client.flush()
    counts = client.events
    assert (counts.accepted, counts.duplicates, counts.rejected) == (1, 1, 1)
    assert "type=''" in caplog.text


def test_a_batch_that_is_too_large_is_halved(server, make):
    def at_most_two(body):
        return taken(body) if len(body["events"]) <= 2 else (413, {"title": "Body too large", "detail": ""})

    server.answers = [at_most_two]
    client = make(flush_seconds=5, batch_size=8)
    for number in range(8):
        client.track("click", user_id=f"u{number}")
    assert client.flush()
    assert (client.events.accepted, client.events.rejected) == (8, 0)


@pytest.mark.parametrize("bad", [{1, 2}, object(), 2**70, "\ud800"])
def test_what_cannot_be_written_is_dropped_and_nothing_raises(server, make, bad):
    client = make()
    assert client.track("click", user_id="u1", properties={"x": bad}) is False
    assert client.events.dropped == 1
    assert server.asked == []


def test_a_server_that_is_not_there_costs_the_shop_nothing(make, free_port):
    from reclift.client import Reclift

    client = Reclift(f"http://127.0.0.1:{free_port}", "k", flush_seconds=0.01, close_seconds=0.05)
    for _ in range(100):
        assert client.track("click", user_id="u1")
    client.close()
    assert client.events.dropped == 100
    assert client.track("click", user_id="u1") is False, "after the end nothing is taken"


def test_closing_sends_what_waits(server, make):
    server.answers = [taken]
    with make(flush_seconds=60) as client:
        client.track("click", user_id="u1")
    assert len(server.events()) == 1


def test_the_end_of_the_process_sends_what_waits(server):
    code = (
        "import sys; from reclift.client import Reclift\n"
        "Reclift(sys.argv[1], 'k', flush_seconds=60).track('click', user_id='u1')"
    )
    subprocess.run([sys.executable, "-c", code, server.url], check=True, timeout=60)
    assert [event["user_id"] for event in server.events()] == ["u1"]


def test_a_forked_child_sends_its_own_and_only_its_own(server, make):
    server.answers = [taken]
    client = make(flush_seconds=60)
    client.track("click", user_id="parent")
    child = os.fork()
    if child == 0:
        client.track("click", user_id="child")
        os._exit(0 if client.flush() and client.events.accepted == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [event["user_id"] for event in server.events()] == ["child"]
    assert client.flush()
    assert [event["user_id"] for event in server.events()] == ["child", "parent"]


def test_only_what_counts_is_exposed(server, make):
    from reclift.client import Assignment

    client = make()
    assert client.expose("u1", Assignment("e", "a", True, "bucketed", phase=3), {"country": "CN"})
    assert not client.expose("u1", Assignment("e", "a", False, "holdout"))
    assert not client.expose("u1", Assignment("e", "a", True, "override"))
    client.flush()
    [event] = server.events()
    assert (event["type"], event["user_id"]) == ("exposure", "u1")
    assert event["properties"] == {"experiment": "e", "arm": "a", "phase": 3, "attributes": {"country": "CN"}}
