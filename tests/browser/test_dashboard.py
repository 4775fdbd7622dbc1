"""The dashboard in a real browser, over the fake platform: what scripts, styles and the security policy do together."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.fake_backend import MANAGER, PASSWORD

PATHS = ["", "experiments", "experiments/home-recs", "experiments/pdp-similar", "experiments/cart-addons",
         "experiments/home-ease", "experiments/new", "experiments/no-experiments",
         "experiments/home-recs/phase", "experiments/home-recs/look?viewer-user_id=u7",
         "experiments/pdp-similar/weights", "experiments/pdp-similar/ramp", "traffic",
         "traffic/groups/new", "traffic/groups/bots", "strategies", "strategies/offline",
         "placements", "placements/home", "metrics",
         "metrics/new",
         "metrics/ctr", "catalogue", "events", "events/dead-letters", "events/dead-letters/3",
         "events/dead-letters/2/discard", "jobs", "jobs/1", "jobs/1/again", "settings", "words"]  # fmt: skip


def test_an_experiment_from_its_name_to_its_end(look, site):
    address, platform = site
    page = look()
    page.click("text=New experiment")
    page.fill("#f-name", "Cart: better add-ons!")
    expect(page.locator("#f-key")).to_have_value("cart-better-add-ons")
    page.select_option("#f-placement", "cart")
    page.select_option("#f-arms-0-strategy", "popularity")
    page.select_option("#f-arms-1-strategy", "item_cf")
    page.click("[data-arm='1'] .params summary")
    page.fill("#f-arms-1-params-k", "250")
    page.click("[data-add-arm]")
    page.select_option("#f-arms-2-strategy", "matrix_factorization")
    page.click("[data-add=audience] >> nth=0")
    page.fill("#f-audience-0-attribute", "country")
    page.select_option("#f-audience-0-op", "$in")
    page.fill("#f-audience-0-value", "CN, US")
    page.fill("#f-traffic", "60")
    page.check("#secondary-conversion")
    expect(page.locator(".summary")).to_contain_text("20 % of users")
    page.click("text=Create and start")
    expect(page.locator(".notice.done")).to_contain_text("is running")
    stored = platform.experiment("cart-better-add-ons")
    assert stored["status"] == "running"
    assert [(a["key"], a["weight"]) for a in stored["arms"]] == [
        ("control", 0.3334), ("item-cf", 0.3333), ("matrix-factorization", 0.3333)]  # fmt: skip
    assert stored["arms"][1]["params"]["k"] == 250
    assert stored["audience"] == {"country": {"$in": ["CN", "US"]}}
    page.click("text=Stop…")
    expect(page.locator("dialog[open]")).to_contain_text("Cart: better add-ons!")
    page.click("dialog[open] >> text=Cancel")
    assert platform.experiment("cart-better-add-ons")["status"] == "running"
    page.click("text=Stop…")
    page.click("text=Stop cart-better-add-ons")
    expect(page.locator(".head .chip").first).to_have_text("stopped")
    page.goto(f"{address}/experiments/new")  # the draft of what was created is not offered again
    assert page.input_value("#f-name") == ""


def test_a_step_is_checked_when_it_is_left_and_the_draft_is_kept(look, site):
    address, platform = site
    page = look()
    page.goto(f"{address}/experiments/new")
    page.fill("#f-name", "Kept")
    page.fill("#f-traffic", "140")
    page.focus("#f-planned_days")
    expect(page.locator("#step-audience .error")).to_contain_text("“140” must be at most 100")
    expect(page.locator("#step-question.good, #step-audience.bad")).to_have_count(2)
    page.click("text=Create draft")
    expect(page.locator("#step-arms .error").first).to_be_visible()
    assert not [call for call in platform.calls if call[0] == "create_experiment"]
    expect(page.locator("[data-saved]")).to_contain_text("Kept in this browser")
    page.reload()
    assert (page.input_value("#f-name"), page.input_value("#f-traffic")) == ("Kept", "140")
    page.click("text=Start over")
    expect(page.locator("#f-name")).to_have_value("")


def test_plots_are_drawn_and_follow_the_theme(look, site):
    page = look()
    page.goto(f"{site[0]}/experiments/home-recs")
    expect(page.locator(".js-plotly-plot")).to_have_count(4)
    colour = "getComputedStyle(document.querySelector('#forest .xtick text')).fill"
    light = page.evaluate(colour)
    page.click("[data-theme-switch]")
    assert page.get_attribute("html", "data-bs-theme") == "dark"
    page.wait_for_function(f"{colour} !== {light!r}")
    page.reload()
    assert page.get_attribute("html", "data-bs-theme") == "dark"
    page.click("text=Bayesian")
    expect(page.locator("#forest .bars path")).to_have_count(8)
    page.click("#time >> text=Conversion")
    assert page.get_attribute("#over-time", "data-figure") == "time-conversion"


@pytest.mark.parametrize("width", [390, 820])
def test_nothing_runs_over_the_edge(look, site, width):
    first = look(width)
    pages = [first, *(first.context.new_page() for _ in range(3))]
    for start in range(0, len(PATHS), len(pages)):
        opened = list(zip(pages, PATHS[start : start + len(pages)], strict=False))
        for page, path in opened:
            page.goto(f"{site[0]}/{path}", wait_until="commit")
        for page, path in opened:  # the half second without a request passes for all of them at once
            page.wait_for_load_state("networkidle")
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, path


def test_the_phone_has_a_sheet_with_every_page(look):
    page = look(390)
    expect(page.locator(".side")).to_be_hidden()
    page.click("[data-open=more]")
    expect(page.locator("#more .nav-item")).to_have_count(10)
    page.click("#more >> text=Jobs")
    expect(page.locator("h1")).to_have_text("Jobs")


def _ratio(page, selector: str) -> list[tuple[str, float]]:
    """Contrast of each text in `selector` against what is painted behind it."""
    return page.evaluate(
        """(selector) => {
          const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          const rgba = (text) => {
            canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
            const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
          };
          const over = (top, below) => top.slice(0, 3).map((v, i) => v * top[3] + below[i] * (1 - top[3]));
          const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255;
            return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
          const found = [];
          for (const el of document.querySelectorAll(selector)) {
            const own = [...el.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim());
            if (!own.length || !el.checkVisibility() || el.closest(":disabled, svg, .js-plotly-plot")) continue;
            const chain = []; for (let at = el; at; at = at.parentElement) chain.unshift(at);
            const behind = chain.reduce((below, at) => over(rgba(getComputedStyle(at).backgroundColor), below), [255,
            255, 255]);
            const text = over(rgba(getComputedStyle(el).color), behind);
            const [a, b] = [light(text), light(behind)].sort((x, y) => y - x);
            found.push([own[0].textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)]);
          }
          return found;
        }""",
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(look, site, scheme):
    page = look(scheme=scheme)
    for path in PATHS:
        page.goto(f"{site[0]}/{path}")
        texts = _ratio(page, "body *")
        assert len(texts) > 15
        assert [(text, round(ratio, 2)) for text, ratio in texts if ratio < 4.5] == [], path


def test_forms_work_without_scripts(look, site):
    address, platform = site
    page = look(java_script_enabled=False)
    page.goto(f"{address}/experiments/new")
    page.fill("#f-name", "Plain")
    page.select_option("#f-arms-0-strategy", "popularity")
    page.select_option("#f-arms-1-strategy", "item_cf")
    page.click("text=Create draft")
    assert platform.experiment("plain")["arms"][1]["key"] == "item-cf"
    page.goto(f"{address}/experiments/home-recs")
    page.click("text=Stop…")
    page.click("text=Stop home-recs")
    assert platform.experiment("home-recs")["status"] == "stopped"


def test_a_key_is_made_shown_once_and_revoked(look, site):
    page = look()
    page.goto(f"{site[0]}/settings")
    page.click("text=New API key")
    page.fill("#f-name", "mobile app")
    page.check("#scope-serve")
    page.click("text=Make key")
    expect(page.locator("#secret-text")).to_have_text(re.compile("^rk_"))
    page.click("a:has-text('Revoke…') >> nth=0")
    page.click("dialog[open] >> text=Revoke mobile app")
    expect(page.locator(".notice.done")).to_contain_text("mobile app is revoked")


def test_help_opens_one_sentence_and_leads_on(look, site):
    page = look()
    page.goto(f"{site[0]}/experiments/home-recs")
    page.click("#lift .section-head .help summary >> nth=0")
    page.click("#lift .help[open] a")
    expect(page).to_have_url(f"{site[0]}/words#lift")


def test_signing_out_ends_it(look, site):
    page = look()
    page.click(".menu summary")
    page.click("text=Sign out")
    page.goto(f"{site[0]}/jobs")
    page.fill("#email", MANAGER.email)
    page.fill("#password", PASSWORD)
    page.click("button[type=submit]")
    expect(page.locator("h1")).to_have_text("Jobs")


def test_two_experiments_share_a_layer_and_one_begins_a_new_phase(look, site):
    address, platform = site
    page = look()
    for name, share, free in (("First half", "60", "100"), ("Second half", "50", "40")):
        page.goto(f"{address}/experiments/new")
        page.fill("#f-name", name)
        page.select_option("#f-placement", "cart")
        page.select_option("#f-arms-0-strategy", "popularity")
        page.select_option("#f-arms-1-strategy", "item_cf")
        page.fill("#f-traffic", share)
        if free == "100":
            page.fill("#f-layer", "cart")
            page.click("[data-add=exclude][data-values*=staff]")
            assert page.input_value("#f-exclude-0-value") == "staff"
        else:
            choice = page.locator("[data-layer=cart]")
            expect(choice).to_contain_text(re.compile(r"40\s% free"))
            choice.click()
            expect(page.locator("[data-layer-text]")).to_contain_text("No room: the largest free piece of cart is 40 %")
            page.fill("#f-traffic", "40")
            expect(page.locator("[data-layer-text]")).to_contain_text("Fits")
            page.click("[data-add=overrides]")
            page.fill("#f-overrides-0-unit", "u7")
            page.fill("#f-overrides-0-arm", "item-cf")
        page.click("text=Create and start")
        expect(page.locator(".notice.done")).to_contain_text("is running")
    assert platform.experiment("first-half")["exclude"] == {"$savedGroup": {"id": "staff"}}
    assert platform.experiment("second-half")["layer_range"] == [0.6, 1.0]
    assert platform.experiment("second-half")["overrides"] == {"u7": "item-cf"}
    page.click("text=New phase…")
    expect(page.locator(".notice")).to_contain_text("All users are hashed anew")
    page.fill("#f-weights-control", "20")
    page.fill("#f-weights-item-cf", "80")
    page.fill("#f-note", "half and half said nothing")
    page.click("text=Begin phase 2")
    expect(page.locator("#split")).to_contain_text("half and half said nothing")
    assert [arm["weight"] for arm in platform.experiment("second-half")["arms"]] == [0.2, 0.8]
    page.click("#preview >> text=item-cf")
    expect(page.locator("#preview-token")).to_have_text("preview.second-half.item-cf.signed")
    page.goto(f"{address}/traffic")
    expect(page.locator("#layers .layer-list > div").first).to_contain_text("full")
    expect(page.locator("#layers .layer-list > div").first.locator(".layer-bar i")).to_have_count(2)


def test_a_ramp_is_filled_in_kept_and_brought_back(look, site):
    address, platform = site
    page = look()
    page.goto(f"{address}/experiments/new")
    page.fill("#f-name", "Slowly")
    page.select_option("#f-arms-0-strategy", "popularity")
    page.select_option("#f-arms-1-strategy", "item_cf")
    page.click("[data-ramp]")
    expect(page.locator("#f-traffic")).to_have_value("1")
    page.click("#f-ramp [data-remove-row] >> nth=3")
    page.check("#f-sticky")
    expect(page.locator("[data-saved]")).to_contain_text("Kept in this browser")
    page.reload()
    expect(page.locator("#f-ramp [data-row]")).to_have_count(3)
    expect(page.locator("#f-sticky")).to_be_checked()
    page.click("text=Create draft")
    expect(page.locator("#ramp")).to_contain_text("after 3 days")
    stored = platform.experiment("slowly")
    assert [step["after_hours"] for step in stored["ramp"]] == [0, 24, 72]
    assert (stored["traffic"], stored["sticky"]) == (0.01, True)


def test_a_report_that_is_computed_now_is_waited_for_and_shown(look, site):
    address, platform = site
    page = look()
    page.goto(f"{address}/experiments/home-recs")
    page.click("text=Compute now")
    expect(page.locator("[data-said]")).to_contain_text("is being computed")
    platform.store["home-recs"][1]["computed_at"] = "2031-01-01T00:00:00+00:00"
    page.wait_for_url(f"{address}/experiments/home-recs")
    expect(page.locator("[data-said]")).to_have_count(0)
