"""The pages over the fake platform, for tests and for working on them: `python -m tests.dev_app [PORT]`."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from flask import Flask

from reclift.web.pages import init_pages
from tests.fake_backend import FakePages
from tests.shared_data import ROOT


def make_app(empty: bool = False) -> Flask:
    """An application with nothing but the pages; `app.extensions["reclift"].pages` is the fake."""
    app = Flask("reclift.web", template_folder=str(ROOT / "templates"))
    app.config.update(SECRET_KEY="only for tests", TEMPLATES_AUTO_RELOAD=True)
    app.extensions["reclift"] = SimpleNamespace(pages=FakePages(empty))
    init_pages(app)
    return app


if __name__ == "__main__":
    make_app().run(port=int(sys.argv[1]) if len(sys.argv) > 1 else 5050)
