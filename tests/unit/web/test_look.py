from __future__ import annotations

import pytest

from reclift.web.pages import look


def typed(**given):
    return look.sent({f"viewer-{name}": value for name, value in given.items()})


def test_a_viewer_is_read_from_words():
    viewer, problems = look.viewer(typed(user_id=" u7 ", item_id="i1", attributes="country = CN\nage=31, vip = true"))
    assert problems == []
    assert viewer == {"user_id": "u7", "session_id": None, "item_id": "i1",
                      "attributes": {"country": "CN", "age": 31, "vip": True}}  # fmt: skip
    assert look.viewer(typed(session_id="s1", attributes='{"a": [1]}'))[0]["attributes"] == {"a": [1]}


@pytest.mark.parametrize(("given", "field"), [
    ({}, "viewer.user_id"), ({"user_id": "u" * 257}, "viewer.user_id"),
    ({"user_id": "u", "attributes": "country"}, "viewer.attributes"),
    ({"user_id": "u", "attributes": "= CN"}, "viewer.attributes"),
    ({"user_id": "u", "attributes": "{"}, "viewer.attributes"),
    ({"session_id": "s", "item_id": "i" * 257}, "viewer.item_id"),
])  # fmt: skip
def test_what_is_wrong_with_a_viewer_is_named(given, field):
    _, problems = look.viewer(typed(**given))
    assert [p["field"] for p in problems] == [field]


def arm(key, items, control=False):
    rows = [{"item_id": item, "position": n + 1} for n, item in enumerate(items)]
    return {"arm": key, "control": control, "items": rows}


def marks(found, key):
    return {
        row["item_id"]: (row["mark"], row["by"]) for one in found["arms"] if one["arm"] == key for row in one["items"]
    }


def test_differences_are_marked_against_the_control():
    found = look.side_by_side({
        "arms": [arm("new", "bdax"), arm("control", "abcd", control=True), arm("same", "abcd")],
        "decision": {"arm": "new", "in_experiment": True, "reason": "bucketed"},
    })  # fmt: skip
    assert marks(found, "new") == {"b": ("up", 1), "d": ("up", 2), "a": ("down", 2), "x": ("new", 0)}
    assert marks(found, "control") == dict.fromkeys("abcd", ("same", 0))
    assert [(one["differs"], one["same"]) for one in found["arms"]] == [(1, False), (0, False), (0, True)]
    assert found["why"] == look.REASONS["bucketed"]


def test_what_only_the_control_shows_is_marked_there():
    found = look.side_by_side({
        "arms": [arm("control", "ab", control=True), arm("new", "b"), arm("empty", "")],
        "decision": {"arm": "control", "in_experiment": False, "reason": "holdout"},
    })  # fmt: skip
    assert marks(found, "control") == {"a": ("only", 0), "b": ("same", 0)}
    assert [one["same"] for one in found["arms"]] == [False, False, False]


def test_reasons_name_items_by_their_titles():
    titles = {"50": "Star Wars", "i-5": "Mug", "5": "Five"}
    assert (
        look.named("chosen together with 50, i-5 and 5", titles) == "chosen together with “Star Wars”, “Mug” and “Five”"
    )
    assert look.named("costs 50.5, like x50 and 500", titles) == "costs 50.5, like x50 and 500"
    assert look.named(None, titles) is None
    assert look.named("popular", {}) == "popular"
