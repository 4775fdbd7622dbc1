from __future__ import annotations

import pytest

from reclift.web.pages import field_words


@pytest.mark.parametrize(("field", "name", "anchor"), [
    ("params.title_weight", "title weight", "f-ease-params-title_weight"),
    ("arms.0.params.k", "arm 1, k", "f-ease-arms-0-params-k"),
    ("fallback.1.strategy", "fallback 2, strategy", "f-ease-fallback-1-strategy"),
    ("params.components.1.params.k", "component 2, k", "f-ease-params-components"),
    ("params", "params", "f-ease-params"), ("viewer.user_id", "user id", "f-ease-viewer-user_id"),
])  # fmt: skip
def test_a_problems_field_is_said_as_people_count_and_leads_to_its_input(field, name, anchor):
    assert field_words.field_name(field) == name
    assert field_words.anchor(field, "ease-") == anchor


def test_values_of_parameters_are_said_as_people_write_them():
    values = (True, None, "x", 7, 0.5, [{"strategy": "ease"}])
    assert [field_words.value_said(v) for v in values] == ["true", "none", "x", "7", "0.5", '[{"strategy": "ease"}]']
