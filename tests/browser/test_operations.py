"""Metrics, jobs and dead letters in a real browser: forms that follow, questions before steps, keys."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect


def test_a_metric_is_said_in_words_while_it_is_typed(look, site):
    address, platform = site
    page = look()
    page.goto(f"{address}/metrics")
    page.click("text=New metric")
    said = page.locator("[data-sentence]")
    expect(said).to_contain_text("at least one “purchase” event")
    page.check("#kind-ratio")
    expect(page.locator("#f-denominator")).to_be_visible()
    expect(page.locator("#f-minimum")).to_be_hidden()
    page.fill("#f-numerator-event", "click")
    page.check("#f-numerator-attributed")
    page.click("[data-add=numerator_where]")
    page.keyboard.type("device")  # the new row has the focus
    page.keyboard.press("Tab")
    page.keyboard.type("phone")
    expect(said).to_contain_text("“click” events on their arm's lists (device = phone) per list shown")
    expect(page.locator("[data-events-only=denominator]")).to_be_hidden()
    page.fill("#f-window_hours", "soon")
    expect(said).to_contain_text("Not complete yet: window hours must be a number of days")
    page.fill("#f-name", "Phone CTR")
    page.click("text=Create metric")
    expect(page.locator(".error", has_text="“soon” must be a number of days")).to_be_visible()
    assert page.input_value("#f-numerator_where-0-equals") == "phone"
    page.fill("#f-window_hours", "2")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Phone CTR")
    assert platform.made["phone_ctr"]["definition"]["numerator"]["where"] == {"device": "phone"}


def test_a_metric_is_made_without_scripts(look, site):
    address, platform = site
    page = look(java_script_enabled=False)
    page.goto(f"{address}/metrics/new")
    page.fill("#f-name", "Wishes")
    page.fill("#f-numerator-event", "wish")
    page.click("text=Create metric")
    expect(page.locator("h1")).to_have_text("Wishes")
    assert platform.made["wishes"]["kind"] == "proportion"


@pytest.mark.parametrize("width", [1366, 390])
def test_coverage_is_made_in_the_form_and_chosen_as_a_guardrail(look, site, width):
    address, platform = site
    page = look(width)
    page.goto(f"{address}/metrics/new")
    expect(page.get_by_text("a quarter of the smallest arm's")).to_be_hidden()
    page.check("#kind-coverage")
    expect(page.locator("[data-sentence]")).to_contain_text(
        "The share of the available catalogue that lists show to equally many users of each arm; only the first 7 days"
    )
    expect(page.get_by_text("a quarter of the smallest arm's")).to_be_visible()
    for hidden in ("#f-numerator-event", "#f-numerator-value", "#f-numerator-attributed", "#f-cap", "#f-denominator"):
        expect(page.locator(hidden)).to_be_hidden()
    page.fill("#f-numerator-position", "1")
    page.fill("#f-window_hours", "")
    page.fill("#f-margin", "5")
    expect(page.locator("[data-sentence]")).to_contain_text("place 1 of lists shows")
    expect(page.locator("[data-sentence]")).to_contain_text("tolerates a drop of up to 5 %")
    page.fill("#f-name", "Coverage of the top")
    page.click("text=Create metric")
    expect(page.locator("h1")).to_have_text("Coverage of the top")
    expect(page.locator("#definition")).to_contain_text("the different available items of lists shown, only at place 1")
    made = platform.made["coverage_of_the_top"]["definition"]
    assert (made["kind"], made["margin"], made["numerator"]["event"]) == ("coverage", 0.05, "impression")

    page.goto(f"{address}/experiments/new")
    assert "coverage_of_the_top" not in page.locator("#f-metrics-primary option").evaluate_all(
        "all => all.map(one => one.value)"
    )
    page.fill("#f-name", "Wide")
    page.select_option("#f-placement", "home")
    page.select_option("#f-arms-0-strategy", "popularity")
    page.select_option("#f-arms-1-strategy", "item_cf")
    page.check("#guardrails-coverage_of_the_top")
    page.click("text=Create draft")
    expect(page.locator("#setup")).to_contain_text("Coverage of the top")
    assert "coverage_of_the_top" in platform.experiment("wide")["metrics"]["guardrails"]


def test_running_again_asks_first_and_can_be_left_by_a_key(look, site):
    address, platform = site
    page = look()
    page.goto(f"{address}/jobs")
    again = page.locator("tr", has_text="StrategyError").first.locator("a", has_text="Run again")
    again.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text("It trains a model anew")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(again).to_be_focused()
    again.click()
    dialog.locator("button", has_text="Run again").click()
    expect(page.locator(".notice.done")).to_contain_text("is run again")
    assert [call[0] for call in platform.calls] == ["run_again"]


def test_a_dead_letter_is_found_read_and_let_go(look, site):
    address, platform = site
    page = look(390)
    page.goto(f"{address}/events")
    page.click("text=Look at them")
    page.fill("#q", "JSON")
    page.keyboard.press("Enter")
    page.click("td a >> text=2")
    expect(page.locator("#payload")).to_contain_text("<script>alert(1)</script>")
    page.click("text=Discard…")
    page.click("dialog[open] >> text=Cancel")
    assert len(platform.letters) == 3
    page.click("text=Discard…")
    page.click("text=Discard 2")
    expect(page.locator(".notice.done")).to_contain_text("Dead letter 2 is discarded")
    page.click("text=Replay all…")
    page.click("dialog[open] >> text=Replay 2 >> nth=-1")
    expect(page.locator(".notice.done")).to_contain_text("2 written")
    expect(page.locator(".empty")).to_contain_text("Nothing lies here")
