from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.dev_app import make_app
from tests.fake_backend import MANAGER, PASSWORD, VIEWER, FakePages


class Browser(FlaskClient):
    """A test client that sends a form's token along, as a browser would."""

    def token(self, path: str = "/app/words") -> str:
        page = self.get(path, follow_redirects=True).text
        found = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert found, f"no form on {path}"
        return found[1]

    def send(self, path, data=None, follow=True, **more):
        token = self.token()
        return self.post(path, data={**(data or {}), "csrf_token": token}, follow_redirects=follow, **more)


@pytest.fixture(scope="session")
def _app() -> Flask:
    made = make_app()
    made.testing = True
    made.test_client_class = Browser
    return made


@pytest.fixture
def app(_app) -> Flask:
    """The application (its templates compiled once) over a fresh fake."""
    _app.extensions["reclift"].pages = FakePages()
    return _app


@pytest.fixture
def platform(app):
    return app.extensions["reclift"].pages


@pytest.fixture
def anonymous(app):
    return app.test_client()


def _signed_in(app, person):
    client = app.test_client()
    answer = client.send("/app/sign-in", {"email": person.email, "password": PASSWORD}, follow=False)
    assert answer.status_code == 302
    return client


@pytest.fixture
def manager(app):
    return _signed_in(app, MANAGER)


@pytest.fixture
def viewer(app):
    return _signed_in(app, VIEWER)


@pytest.fixture
def manager_of_nothing(_app):
    _app.extensions["reclift"].pages = FakePages(empty=True)
    return _signed_in(_app, MANAGER)
