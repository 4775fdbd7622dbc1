"""The fake stands in for the platform only if it is called the same way; what is raised must read well."""

from __future__ import annotations

import inspect

import pytest

from reclift.web.pages.backend import Invalid, Pages, Person
from tests.fake_backend import FakePages

METHODS = [name for name, _ in inspect.getmembers(Pages, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("name", METHODS)
def test_the_fake_is_called_like_the_platform(name):
    def shape(function):
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]

    assert shape(getattr(FakePages, name)) == shape(getattr(Pages, name))


def test_there_are_methods_to_compare():
    assert len(METHODS) > 50


def test_problems_name_field_value_and_rule():
    error = Invalid([{"field": "key", "value": "A", "rule": "must be small"}])
    assert str(error) == "key='A': must be small"


def test_only_a_manager_may_change():
    assert Person("1", "m@shop.example", "manager").may_change
    assert not Person("2", "v@shop.example", "viewer").may_change
