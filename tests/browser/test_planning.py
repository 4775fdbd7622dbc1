"""Planning an experiment in a real browser: sizes as one types, the analysis, lists for one person, placements."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.test_dashboard import _ratio


def fill(page, address, name="Planned"):
    page.goto(f"{address}/experiments/new")
    page.fill("#f-name", name)
    page.select_option("#f-placement", "home")
    page.select_option("#f-arms-0-strategy", "popularity")
    page.select_option("#f-arms-1-strategy", "item_cf")


def test_sizes_follow_what_is_typed(look, site):
    address = site[0]
    page = look()
    fill(page, address)
    page.fill("#f-analysis-minimum_effect", "5")
    says = page.locator("[data-plan-says]")
    expect(says).to_contain_text("125,600 users, 62,800 in each arm: about 70 days")
    expect(page.locator("[data-sum=plan]")).to_contain_text("125,600 users")
    page.fill("#f-analysis-minimum_effect", "10")
    expect(says).to_contain_text("31,400 users")
    page.click("[data-add-arm]")
    expect(says).to_contain_text("47,100 users")
    page.click("[data-remove-arm] >> nth=2")
    page.fill("#f-traffic", "50")
    expect(says).to_contain_text("about 35 days")
    page.check("[name=analysis-regime][value=sequential]")
    expect(says).to_contain_text("50,240 users")
    page.click("[data-use-days]")
    expect(page.locator("#f-planned_days")).to_have_value("56")
    expect(page.locator(".before")).to_contain_text("56 days are enough to find a lift")
    page.select_option("#f-metrics-primary", "conversion")
    expect(says).to_contain_text("in Conversion")
    page.select_option("#f-placement", "cart")
    expect(says).to_contain_text("No list was shown here yet")


def test_the_analysis_is_chosen_checked_kept_and_copied(look, site):
    address, platform = site
    page = look()
    fill(page, address, "Chosen")
    expect(page.locator("#f-analysis-looks")).to_be_hidden()
    page.check("[name=analysis-regime][value=group_sequential]")
    expect(page.locator("#f-analysis-rho")).to_be_hidden()
    page.select_option("#f-analysis-family", "power")
    page.fill("#f-analysis-rho", "1.5")
    page.fill("#f-analysis-looks", "1")
    page.focus("#f-name")
    expect(page.locator("#step-plan .error")).to_contain_text("“1” must be at least 2")
    page.check("[name=analysis-regime][value=fixed]")  # what stands in hidden fields does not stop anybody
    expect(page.locator("#step-plan.good")).to_have_count(1)
    page.check("[name=analysis-regime][value=group_sequential]")
    page.fill("#f-analysis-looks", "4")
    page.check("#f-analysis-cuped")
    page.fill("#f-analysis-cuped_days", "91")
    page.focus("#f-name")
    expect(page.locator("#step-plan .error")).to_contain_text("“91” must be at most 90")
    page.fill("#f-analysis-cuped_days", "28")
    page.select_option("#f-analysis-correction_primary", "benjamini_hochberg")
    page.select_option("#f-analysis-correction_secondary", "none")
    page.click("text=Level, priors and a cross-check")
    page.fill("#f-analysis-level", "90")
    page.fill("#f-analysis-bootstrap", "500")
    expect(page.locator("[data-saved]")).to_contain_text("Kept in this browser")
    page.reload()
    expect(page.locator("#f-analysis-looks")).to_have_value("4")
    expect(page.locator("[name=analysis-regime][value=group_sequential]")).to_be_checked()
    expect(page.locator("#f-analysis-cuped")).to_be_checked()
    expect(page.locator("#f-analysis-correction_secondary")).to_have_value("none")
    page.click("text=Create draft")
    expect(page.locator("#setup")).to_contain_text("at 4 planned looks, by a power of the time (rho 1.5)")
    expect(page.locator("#setup")).to_contain_text("a user's past is 28 days")
    expect(page.locator("#setup")).to_contain_text("secondary metrics: not corrected")
    chosen = platform.experiment("chosen")["analysis"]
    wanted = {"regime": "group_sequential", "looks": 4, "family": "power", "rho": 1.5, "cuped": True, "level": 0.9,
              "bootstrap": 500, "cuped_days": 28, "correction_primary": "benjamini_hochberg",
              "correction_secondary": "none"}  # fmt: skip
    assert {name: chosen[name] for name in wanted} == wanted
    page.click(".head >> text=Copy")
    page.fill("#f-name", "Chosen again")
    page.click("text=Create draft")
    expect(page.locator(".notice.done")).to_contain_text("is kept")
    assert platform.experiment("chosen-again")["analysis"] == chosen


def test_an_arm_is_pinned_and_varied_and_comes_back_from_the_draft(look, site):
    address, platform = site
    page = look()
    fill(page, address, "Pinned")
    arm = page.locator("[data-arm='1']")
    arm.locator("summary:has-text('Model') >> nth=0").click()
    page.select_option("#f-arms-1-model", "6")
    arm.locator("summary:has-text('Variety of its lists')").click()
    page.fill("#f-arms-1-rerank-balance", "3")
    page.focus("#f-name")
    expect(page.locator("#step-arms .error >> nth=0")).to_contain_text("must be at most 1")
    page.fill("#f-arms-1-rerank-balance", "0.3")
    page.fill("#f-arms-1-rerank-category_cap", "3")
    page.reload()
    expect(page.locator("#f-arms-1-model")).to_have_value("6")
    expect(page.locator("#f-arms-1-rerank-balance")).to_be_visible()
    page.click("text=Create draft")
    expect(page.locator("#setup")).to_contain_text("variety 0.3, 3 of a category at most")
    made = platform.experiment("pinned")["arms"][1]
    assert (made["model"], made["rerank"]) == (6, {"balance": 0.3, "category_cap": 3})


@pytest.mark.parametrize("width", [1280, 390])
def test_lists_of_one_person_stand_side_by_side(look, site, width):
    address, platform = site
    page = look(width)
    fill(page, address)
    page.fill("#f-viewer-user_id", "u7")
    page.fill("#f-viewer-attributes", "country = CN")
    page.press("#f-viewer-user_id", "Enter")
    expect(page.locator(".list-of")).to_have_count(2)
    expect(page.locator(".look-says")).to_contain_text("They would be in item-cf")
    expect(page.locator(".mark-new >> nth=0")).to_contain_text("new")
    asked = [call for call in platform.calls if call[0] == "look_as"]
    assert [call[2]["attributes"] for call in asked] == [{"country": "CN"}]
    assert not [call for call in platform.calls if call[0] == "create_experiment"]
    tops = page.evaluate("[...document.querySelectorAll('.list-of')].map((list) => list.getBoundingClientRect().top)")
    assert (tops[0] == tops[1]) is (width > 700)
    page.goto(f"{address}/experiments/home-recs")
    page.click("text=As a user")
    page.fill("#f-viewer-user_id", "u9")
    page.click("text=Show the lists")
    expect(page.locator(".list-of")).to_have_count(3)
    expect(page.locator(".chip:has-text('theirs')")).to_have_count(1)


def test_a_list_for_nobody_says_who_is_missing(look, site):
    page = look()
    fill(page, site[0])
    page.click("[data-look]")
    expect(page.locator("[data-look-answer]")).to_contain_text("whose lists are they to be?")


def test_a_placement_is_shaped_by_its_form(look, site):
    address, platform = site
    page = look()
    page.goto(f"{address}/placements/home")
    page.fill("#f-explore", "10")
    page.fill("#f-rerank-balance", "0.2")
    page.fill("#f-rerank-category_cap", "2")
    page.check("#seen-shown")
    page.select_option("#f-fallback-0-strategy", "random")
    page.click("text=Its parameters >> nth=0")
    page.fill("#f-fallback-0-params", '{"seed": 3}')
    page.click("text=Save placement")
    expect(page.locator(".notice.done")).to_contain_text("is saved")
    expect(page.locator("main")).to_contain_text("2 of a category at most")
    stored = next(p for p in platform.placements() if p["key"] == "home")
    assert (stored["explore"], stored["seen"], stored["rerank"]) == (0.1, "shown", {"balance": 0.2, "category_cap": 2})
    assert stored["fallback"][0] == {"strategy": "random", "params": {"seed": 3}}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_can_be_read_and_nothing_runs_over(look, site, width, scheme):
    address, _ = site
    page = look(width, scheme)
    fill(page, address)
    page.check("[name=analysis-regime][value=group_sequential]")
    for part in page.locator("details.params").all():
        part.evaluate("part => part.open = true")
    page.fill("#f-viewer-user_id", "u7")
    expect(page.locator(".before")).to_be_visible()
    page.click("[data-look]")
    expect(page.locator(".list-of >> nth=1")).to_be_visible()
    expect(page.locator("#plan.asking")).to_have_count(0)
    look_at = "/experiments/home-recs/look?viewer-user_id=u7"
    for where in ("", look_at, "/placements/home", "/experiments/home-ease/edit"):
        if where:
            page.goto(address + where)
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, where
        texts = _ratio(page, "body *")
        assert [(text, round(ratio, 2)) for text, ratio in texts if ratio < 4.5] == [], where


def test_lists_are_shown_without_scripts(look, site):
    page = look(java_script_enabled=False)
    fill(page, site[0])
    page.fill("#f-viewer-user_id", "u7")
    with page.context.expect_page() as opened:
        page.click("[data-look]")
    expect(opened.value.locator(".list-of")).to_have_count(2)
    expect(opened.value.locator("h1")).to_have_text(re.compile("^Planned"))


def test_what_was_typed_into_a_draft_that_is_there_is_offered(look, site):
    address, platform = site
    page = look()
    page.goto(f"{address}/experiments/home-ease/edit")
    expect(page.locator("[data-restore]")).to_be_hidden()
    page.fill("#f-hypothesis", "Vectors find more.")
    expect(page.locator("[data-saved]")).to_contain_text("Kept in this browser")
    page.goto(f"{address}/experiments/new?copy=home-ease")  # a copy is something else
    expect(page.locator("[data-restore]")).to_be_hidden()
    page.goto(f"{address}/experiments/home-ease/edit")
    assert page.input_value("#f-hypothesis") == ""
    page.click("text=Bring it back")
    expect(page.locator("#f-hypothesis")).to_have_value("Vectors find more.")
    expect(page.locator("#f-arms-1-key")).to_have_value("als")
    page.click("text=Save draft")
    expect(page.locator(".notice.done")).to_contain_text("is kept")
    assert platform.experiment("home-ease")["hypothesis"] == "Vectors find more."
    page.goto(f"{address}/experiments/home-ease/edit")
    expect(page.locator("[data-restore]")).to_be_hidden()
