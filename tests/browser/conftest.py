from __future__ import annotations

import threading

import pytest
from werkzeug.serving import make_server

from tests.dev_app import make_app
from tests.fake_backend import MANAGER, PASSWORD, FakePages


@pytest.fixture(scope="session")
def _app():
    """The application, its templates compiled once."""
    return make_app()


@pytest.fixture
def site(_app):
    """The pages over a fresh fake, served on a free port; (address, fake)."""
    fake = _app.extensions["reclift"].pages = FakePages()
    server = make_server("127.0.0.1", 0, _app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/app", fake
    server.shutdown()
    thread.join()


def _is_complaint(said) -> bool:
    """An error, unless it is that a form was refused: the page says that itself."""
    return said.type == "error" and "status of 422" not in said.text


@pytest.fixture
def look(chromium, site):
    """Open a signed-in page: `look(width, scheme)`. What the browser complained of is checked at the end."""
    address, _ = site
    contexts, complaints = [], []

    def open_page(width: int = 1366, scheme: str = "light", **more):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=width < 700, **more
        )
        contexts.append(context)
        context.set_default_timeout(30_000)  # drawing plots takes its time on a busy machine
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
        page = context.new_page()
        page.goto(f"{address}/sign-in")
        page.fill("#email", MANAGER.email)
        page.fill("#password", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(f"{address}/")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []  # among them every breach of the content security policy
