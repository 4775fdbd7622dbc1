from __future__ import annotations

import pytest

from reclift.web.pages import assets


def test_icons_are_drawn_inline_and_an_unknown_one_is_an_error():
    plain, named = assets.icon("house"), assets.icon("house", 'a "label"')
    assert plain.startswith('<svg class="icon" viewBox="0 0 16 16"')
    assert 'aria-hidden="true"' in plain
    assert 'aria-label="a &#34;label&#34;"' in named
    with pytest.raises(KeyError):
        assets.icon("no-such-icon")


def test_a_static_file_is_kept_for_as_long_as_its_content_is_the_same(manager):
    page = manager.get("/app/").text
    address = page.split('href="/static/reclift.css')[1].split('"')[0]
    kept = manager.get(f"/static/reclift.css{address}")
    assert "immutable" in kept.headers["Cache-Control"]
    assert "immutable" not in manager.get("/static/reclift.css").headers["Cache-Control"]


def test_an_address_follows_the_content(app, tmp_path):
    file = tmp_path / "x.css"
    with app.test_request_context():
        before, app.static_folder = app.static_folder, str(tmp_path)
        try:
            file.write_text("a")
            first = assets.asset("x.css")
            file.write_text("bb")
            assert assets.asset("x.css") != first
        finally:
            app.static_folder = before
