"""Each event of a batch is checked by itself; what is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from reclift.domain.events import EventError, Facts, derived_id, parse_event, parse_time

NOW = 1_780_000_000_000_000
SKEW = 300_000_000
ARMS = {"home": {"a": 1, "b": 2}}

DEEP: Any = "leaf"
for _ in range(21):
    DEEP = [DEEP]


def parse(**raw: Any) -> tuple[str, dict[str, Any]]:
    return parse_event(
        {"type": "click", "user_id": "u1", **raw},
        now=NOW,
        max_skew=SKEW,
        canonical=lambda unit: {"device-7": "u7"}.get(unit, unit),
        arms=lambda key: ARMS.get(key, {}),
    )


def test_a_whole_event() -> None:
    table, row = parse(
        event_id="e1",
        item_id="i1",
        recommendation_id="r1",
        value=3,
        timestamp="2026-05-01T14:00:00.123456+02:00",
        properties={"a": ["ü", {"b": None}]},
    )
    at = 1_777_636_800_123_456
    assert table == "events"
    assert row == {
        "event_id": "e1",
        "type": "click",
        "unit_id": "u1",
        "item_id": "i1",
        "recommendation_id": "r1",
        "value": 3.0,
        "at": at,
        "client_at": at,
        "received_at": NOW,
        "properties": {"a": ["ü", {"b": None}]},
    }
    assert isinstance(row["value"], float)


def test_a_bare_event_happened_when_it_came() -> None:
    _, row = parse()
    assert (row["at"], row["client_at"], row["received_at"]) == (NOW, None, NOW)
    assert (row["item_id"], row["recommendation_id"], row["value"], row["properties"]) == (None, None, None, {})


@pytest.mark.parametrize(
    ("ahead", "clamped"), [(0, False), (SKEW, False), (SKEW + 1_000_000, True), (-10 * SKEW, False)]
)
def test_clocks_that_are_ahead_are_clamped_and_both_times_kept(ahead: int, *, clamped: bool) -> None:
    from datetime import UTC, datetime

    sent = NOW + ahead
    _, row = parse(timestamp=datetime.fromtimestamp(sent / 1e6, UTC).isoformat())
    assert row["client_at"] == sent
    assert row["at"] == (NOW if clamped else sent)


def test_ids_resolve_to_the_person() -> None:
    assert parse(user_id="device-7")[1]["unit_id"] == "u7"
    assert parse(user_id=None, session_id="device-7")[1]["unit_id"] == "u7"
    assert parse(user_id="u2", session_id="s")[1]["unit_id"] == "u2"


def test_an_event_without_an_id_gets_one_from_its_content() -> None:
    at = "2026-05-01T12:00:00Z"
    first, again = parse(timestamp=at)[1]["event_id"], parse(timestamp=at)[1]["event_id"]
    assert first == again
    others = {
        parse(timestamp="2026-05-01T12:00:00.000001Z")[1]["event_id"],
        parse(timestamp=at, item_id="i")[1]["event_id"],
        parse(timestamp=at, recommendation_id="i")[1]["event_id"],
        parse(timestamp=at, value=1)[1]["event_id"],
        parse(timestamp=at, type="view")[1]["event_id"],
        parse(timestamp=at, user_id="u2")[1]["event_id"],
        first,
    }
    assert len(others) == 7
    assert parse()[1]["event_id"] != parse()[1]["event_id"]  # nothing tells a retry from a second click
    assert derived_id("a", "b", None, None, None, 1).startswith("d-")


def test_an_exposure_from_a_client() -> None:
    table, row = parse(type="exposure", properties={"experiment": "home", "arm": "b"})
    assert table == "exposures"
    assert row == {
        "experiment": "home",
        "phase": 2,
        "unit_id": "u1",
        "arm": "b",
        "at": NOW,
        "source": "client",
        "attributes": {},
    }


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"type": None}, r"type=None: must be a string of 1 to 64"),
        ({"type": ""}, r"type=''"),
        ({"type": "x" * 65}, r"type='xxx"),
        ({"type": "a\x00"}, r"type="),
        ({"user_id": None}, r"user_id=None: must be a string of 1 to 200"),
        ({"user_id": 7}, r"user_id=7"),
        ({"user_id": "x" * 201}, r"user_id='xxx"),
        ({"user_id": "a\x00b"}, r"must not contain NUL"),
        ({"user_id": "a\ud800"}, r"lone surrogates"),
        ({"user_id": None, "session_id": ""}, r"session_id=''"),
        ({"item_id": ""}, r"item_id=''"),
        ({"item_id": 3}, r"item_id=3"),
        ({"recommendation_id": ["r"]}, r"recommendation_id=\['r'\]"),
        ({"event_id": ""}, r"event_id=''"),
        ({"value": "3"}, r"value='3': must be a number from -1e\+15 to 1e\+15"),
        ({"value": True}, r"value=True"),
        ({"value": float("nan")}, r"value=nan"),
        ({"value": float("inf")}, r"value=inf"),
        ({"value": 1e200}, r"value=1e\+200"),
        ({"value": 10**400}, r"value=1000"),
        ({"timestamp": 1780000000}, r"timestamp=1780000000: must be an RFC 3339 string"),
        ({"timestamp": "yesterday"}, r"timestamp='yesterday': must be an RFC 3339"),
        ({"timestamp": "2026-05-01T12:00:00"}, r"needs a zone"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, r"must not be before 1970"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, r"must not be before 1970"),
        ({"properties": []}, r"properties=\[\]: must be an object"),
        ({"properties": {str(i): i for i in range(51)}}, r"at most 50 entries"),
        ({"properties": {"a": "\x00"}}, r"properties: must not contain NUL"),
        ({"properties": {"a": [{"\x00": 1}]}}, r"properties: must not contain NUL"),
        ({"properties": {"a": "\udfff"}}, r"lone surrogates"),
        ({"properties": {"a": DEEP}}, r"properties: must not be nested deeper than 20"),
        ({"type": "exposure"}, r"properties.experiment=None: an exposure names its experiment"),
        ({"type": "exposure", "properties": {"experiment": "x", "arm": "a"}}, r"'x': no such experiment"),
        ({"type": "exposure", "properties": {"experiment": "home", "arm": "c"}}, r"arm='c': must be one of a, b"),
        ({"type": "exposure", "properties": {"experiment": "home", "arm": ["a"]}}, r"arm=\['a'\]"),
    ],
)
def test_what_is_wrong_is_named_with_its_value_and_the_rule(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(EventError, match=message):
        parse(**raw)


@pytest.mark.parametrize("raw", [None, 3, "click", [], [{"type": "click"}]])
def test_an_event_is_an_object(raw: object) -> None:
    with pytest.raises(EventError, match=r"event=.*: must be an object"):
        parse_event(raw, now=NOW, max_skew=0, canonical=str, arms=lambda _: {})


def test_text_that_only_looks_like_a_nul_is_fine() -> None:
    properties = {"path": "C:\\x00dir", "unicode": "\\u0000"}
    assert parse(properties=properties)[1]["properties"] == properties


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("2026-05-01T12:00:00.999999+00:00", 1_777_636_800_999_999),
        ("2026-05-01T12:00:00-05:30", 1_777_656_600_000_000),
    ],
)
def test_times_are_exact_to_the_microsecond(text: str, micros: int) -> None:
    assert parse_time(text) == micros


def test_batches_add_up() -> None:
    one, two = Facts([{"a": 1}], [{"b": 1}]), Facts([{"a": 2}], [], [{"c": 1}])
    one.extend(two)
    assert one == Facts([{"a": 1}, {"a": 2}], [{"b": 1}], [{"c": 1}])
    assert len(one) == 4
