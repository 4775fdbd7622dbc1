"""Strategies in a real browser: every label leads to its own input, faults are in sight, nothing typed is lost."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect


def test_every_label_of_the_many_forms_leads_to_its_own_input(look, site):
    address, _ = site
    page = look()
    page.goto(f"{address}/strategies")
    twice = page.evaluate(
        "() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);"
        " return ids.filter((id, n) => ids.indexOf(id) !== n); }"
    )
    assert twice == []
    for key, name in (("popularity", "Window days"), ("matrix_factorization", "Factors"), ("item_cf", "K")):
        section = page.locator(f"section#{key}")
        section.locator("details.params > summary").click()
        section.get_by_label(name, exact=True).fill("7")
        section.locator("label", has_text=re.compile(f"^{name}$")).click()
        assert page.evaluate("document.activeElement.closest('section').id") == key
        assert page.evaluate("document.activeElement.value") == "7"


def test_a_refused_training_is_in_sight_with_what_was_typed(look, site):
    address, platform = site
    page = look()
    page.goto(f"{address}/strategies")
    section = page.locator("section#item_cf")
    section.locator("details.params > summary").click()
    section.get_by_label("K", exact=True).fill("0")
    page.evaluate("document.querySelector('section#item_cf form[action*=train]').noValidate = true")
    section.get_by_role("button", name="Train", exact=True).click()
    expect(section.locator("#problems")).to_be_in_viewport()
    expect(section.locator("#problems")).to_contain_text("k must be at least 1")
    section.locator("#problems a").click()
    expect(section.get_by_label("K", exact=True)).to_be_in_viewport()
    expect(section.get_by_label("K", exact=True)).to_have_value("0")
    assert not [call for call in platform.calls if call[0] == "train"]

    page.goto(f"{address}/strategies/item_cf/train")
    assert page.url == f"{address}/strategies#item_cf"


def test_a_double_click_trains_once_and_another_model_can_be_trained_like_one(look, site):
    address, platform = site
    page = look()
    page.goto(f"{address}/strategies")
    section = page.locator("section#item_cf")
    section.get_by_role("link", name="Train another one like item_cf@7").click()
    expect(section.get_by_label("K", exact=True)).to_have_value("200")
    expect(section).to_contain_text("Filled in with the parameters of item_cf@7")
    section.get_by_role("button", name="Train", exact=True).dblclick()
    expect(page.locator(".notice.done")).to_contain_text("Item to item is being trained")
    assert [call[1] for call in platform.calls if call[0] == "train"] == ["item_cf"]


@pytest.mark.parametrize("width", [1280, 390])
def test_what_is_evaluated_is_chosen_and_its_command_follows(look, site, width):
    address, platform = site
    page = look(width)
    page.goto(f"{address}/strategies/offline")
    page.click("#choose summary")
    command = page.locator("#evaluate-command")
    expect(command).to_have_text("reclift evaluate")
    page.check("#f-strategies-content")
    page.select_option("#f-split", "leave-last-out")
    page.select_option("#f-fallback", "none")
    expect(command).to_have_text("reclift evaluate content --split leave-last-out --fallback none")
    page.get_by_role("button", name="Evaluate these").click()
    expect(page.locator(".notice.done")).to_contain_text("being evaluated")
    wanted = {"strategies": ["content"], "split": "leave-last-out", "fallback": None}
    assert platform.calls[-1][:2] == ("evaluate", wanted)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_shows_what_came_of_work_but_not_while_one_types(look, site):
    address, platform = site
    platform.shop["jobs"].insert(0, {**platform.shop["jobs"][0], "id": "99", "task": "train", "status": "queued",
                                     "subject": "content"})  # fmt: skip
    page = look()
    page.goto(f"{address}/strategies")
    expect(page.locator("#work")).to_contain_text("Training of content waits for the worker")
    section = page.locator("section#item_cf")
    section.locator("details.params > summary").click()
    section.get_by_label("K", exact=True).fill("321")
    platform.shop["jobs"].pop(0)
    expect(page.locator("#work")).to_contain_text("There is something new on this page", timeout=15_000)
    expect(section.get_by_label("K", exact=True)).to_have_value("321")
    page.get_by_role("link", name="Show it").click()
    expect(page.locator("#work")).to_be_hidden()


def test_a_placements_parameters_come_back_with_their_strategy(look, site):
    address, _ = site
    page = look()
    page.goto(f"{address}/placements/home")
    page.locator("[data-params] summary").click()
    page.fill("#f-params-k", "77")
    page.select_option("#f-strategy", "popularity")
    expect(page.locator("#f-params-k")).to_have_count(0)
    page.select_option("#f-strategy", "item_cf")
    expect(page.locator("#f-params-k")).to_have_value("77")
