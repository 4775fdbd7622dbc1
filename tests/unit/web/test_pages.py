from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from reclift.web.pages.words_numbers import ALL_WORDS as WORDS

SEEN_BY_ALL = [
    "/app/", "/app/experiments", "/app/experiments?status=running", "/app/experiments?q=cart", "/app/experiments?q=zzz",
    "/app/experiments/home-recs", "/app/experiments/pdp-similar", "/app/experiments/cart-addons",
    "/app/experiments/zozotown-men", "/app/experiments/home-ease", "/app/experiments/no-experiments",
    "/app/experiments/home-recs?preview=als", "/app/experiments/home-recs?preview=nope", "/app/traffic",
    "/app/experiments/home-recs?computing=", "/app/jobs?task=rollup", "/app/jobs?task=nope", "/app/events?type=click",
    "/app/events?type=nope", "/app/strategies", "/app/strategies/offline", "/app/strategies/offline?k=20",
    "/app/placements", "/app/metrics",
    "/app/catalogue", "/app/catalogue?q=scarf", "/app/catalogue?q=zzz", "/app/catalogue?page=2", "/app/events",
    "/app/events?page=3", "/app/jobs", "/app/jobs/0", "/app/jobs/1", "/app/jobs/4", "/app/metrics/ctr",
    "/app/metrics/latency", "/app/events/dead-letters", "/app/events/dead-letters?q=zzz",
    "/app/events/dead-letters/2", "/app/events/dead-letters/3", "/app/settings", "/app/words",
]  # fmt: skip
FOR_MANAGERS = [
    "/app/experiments/new", "/app/experiments/new?copy=home-recs", "/app/experiments/home-ease/edit",
    "/app/experiments/home-recs/do/stop", "/app/experiments/zozotown-men/do/archive", "/app/placements/new",
    "/app/placements/home", "/app/settings/keys/1/revoke", "/app/experiments/home-recs/phase",
    "/app/experiments/pdp-similar/weights", "/app/experiments/pdp-similar/ramp", "/app/traffic/groups/new",
    "/app/traffic/groups/bots", "/app/traffic/groups/staff", "/app/experiments/no-experiments/do/stop",
    "/app/metrics/new", "/app/metrics/new?copy=ctr", "/app/jobs/1/again", "/app/events/dead-letters/replay",
    "/app/events/dead-letters/3/discard",
]  # fmt: skip


class Page(HTMLParser):
    """What the tests want to know of a page: forms with their tokens, scripts, handlers, ids, links, labels."""

    VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms, self.inline_scripts, self.handlers, self.ids, self.links = [], [], [], [], []
        self.labels, self.inputs, self.open = set(), [], []
        self.feed(text)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag not in self.VOID and tag not in {"path", "circle", "line", "polyline"}:
            self.open.append(tag)
        in_template = "template" in self.open or "noscript" in self.open
        self.handlers += [name for name in given if name.startswith("on")]
        if "id" in given and not in_template:
            self.ids.append(given["id"])
        if tag == "form":
            self.forms.append({"method": given.get("method", "get").lower(), "token": False})
        if tag == "input" and given.get("name") == "csrf_token":
            self.forms[-1]["token"] = bool(given["value"])
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.inline_scripts.append(given)
        if tag == "label":
            self.labels.add(given.get("for"))
        if tag in {"input", "select", "textarea"} and given.get("type") not in {"hidden", "submit"}:
            self.inputs.append(given)
        if tag == "a":
            self.links.append(given.get("href", ""))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag in {"path", "circle", "line", "polyline"}:
            return
        assert self.open, f"</{tag}> closes nothing at {self.getpos()}"
        assert self.open[-1] == tag, f"</{tag}> at {self.getpos()} closes <{self.open[-1]}>"
        self.open.pop()


def check(text: str) -> Page:
    page = Page(text)
    assert page.inline_scripts == []
    assert page.handlers == []
    assert all(form["token"] for form in page.forms if form["method"] == "post")
    assert len(page.ids) == len(set(page.ids)), sorted(i for i in page.ids if page.ids.count(i) > 1)
    unnamed = [i for i in page.inputs if i.get("id") not in page.labels and not i.get("aria-label")]
    assert unnamed == []
    for text_of_nothing in (">None<", ">nan<", " nan ", "Undefined"):
        assert text_of_nothing not in text
    return page


@pytest.mark.parametrize("path", SEEN_BY_ALL + FOR_MANAGERS)
def test_every_page_is_well_formed_for_a_manager(manager, path):
    answer = manager.get(path)
    assert answer.status_code == 200
    check(answer.text)


@pytest.mark.parametrize("path", SEEN_BY_ALL)
def test_a_viewer_sees_everything_and_no_button_that_changes(viewer, path):
    answer = viewer.get(path)
    assert answer.status_code == 200
    page = check(answer.text)
    assert len([f for f in page.forms if f["method"] == "post"]) == 1  # signing out
    assert not [link for link in page.links if link.endswith(("/new", "/edit", "/revoke")) or "/do/" in link]


@pytest.mark.parametrize("path", FOR_MANAGERS)
def test_a_viewer_is_refused_what_changes(viewer, path):
    answer = viewer.get(path)
    assert answer.status_code == 403
    check(answer.text)
    assert "Your role is viewer" in answer.text


@pytest.mark.parametrize("path", [p for p in SEEN_BY_ALL if not re.search(r"\?|/experiments/|/\d+$", p)])
def test_every_page_has_words_for_emptiness(manager_of_nothing, path):
    answer = manager_of_nothing.get(path)
    assert answer.status_code == 200
    check(answer.text)


def test_an_experiment_without_placements_says_what_comes_first(manager_of_nothing):
    assert "First, a placement" in manager_of_nothing.get("/app/experiments/new").text


@pytest.mark.parametrize("path", SEEN_BY_ALL + FOR_MANAGERS)
def test_who_is_not_signed_in_is_asked_to_and_comes_back(anonymous, path):
    answer = anonymous.get(path)
    assert answer.status_code == 302
    assert answer.location.startswith("/app/sign-in?next=")
    page = anonymous.get(answer.location)
    check(page.text)
    assert f'name="next" value="{path}"' in page.text


def test_pages_carry_the_headers_that_protect_them(manager):
    headers = manager.get("/app/").headers
    policy = headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_plotly_comes_only_with_plots_and_from_here(manager, anonymous):
    with_plots = manager.get("/app/experiments/home-recs").text
    source = re.search(r'<script defer src="([^"]+plotly[^"]+)"', with_plots)[1]
    assert source.startswith("/app/assets/plotly.js?v=")
    assert "plotly" not in manager.get("/app/").text
    assert "plotly" not in manager.get("/app/experiments/home-ease").text
    script = anonymous.get(source.replace("&amp;", "&"), headers={"Accept-Encoding": "gzip"})
    assert script.headers["Content-Encoding"] == "gzip"
    assert "immutable" in script.headers["Cache-Control"]
    again = anonymous.get(source, headers={"Accept-Encoding": "gzip", "If-None-Match": script.headers["ETag"]})
    assert again.status_code == 304
    assert len(anonymous.get(source).data) > 3 * len(script.data)


def test_pages_load_nothing_from_elsewhere(manager):
    for path in SEEN_BY_ALL:
        assert re.findall(r'(?:src|href)="(?:https?:)?//', manager.get(path).text) == [], path


@pytest.mark.parametrize("path", [
    "/app/experiments/nope", "/app/nope", "/app/placements/nope", "/app/experiments/home-recs/do/dance",
    "/app/experiments/home-ease/report.json", "/app/experiments/home-ease/report.csv",
])  # fmt: skip
def test_what_is_not_there_is_a_page_that_says_so(manager, path):
    answer = manager.get(path)
    assert answer.status_code == 404
    check(answer.text)


def test_the_root_leads_home(manager):
    assert manager.get("/").location == "/app/"


def test_every_term_that_is_explained_has_its_word(manager):
    page = manager.get("/app/words").text
    for key in WORDS:
        assert f'id="{key}"' in page
    for path in SEEN_BY_ALL:
        for anchor in re.findall(r'href="/app/words#([^"]+)"', manager.get(path).text):
            assert anchor in WORDS


def test_what_shops_and_people_write_is_never_markup(manager, platform):
    evil = "<script>alert(1)</script>"
    experiment, report = platform.store["home-recs"]
    experiment.update(name=evil, hypothesis=evil, note=evil)
    report["decision"]["because"] = [evil]
    report["metrics"][0]["name"] = evil
    platform.shop["items"][0]["title"] = evil
    for path in ("/app/", "/app/experiments", "/app/experiments/home-recs", "/app/catalogue"):
        page = manager.get(path).text
        assert evil not in page
        assert "alert(1)" in page
