"""What tests share: real PostgreSQL, Redis and Chromium. What cannot be started fails the test; nothing is skipped."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import services
from tests.services import PostgresServer, RedisServer, ServiceError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

pytest_plugins = ["tests.platform_fixtures"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "expected_console_errors(*patterns): errors in the browser's console that the test brings about"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Files with browser tests last: Playwright keeps an event loop running once it has begun. Of these, the ones that
    # need the whole platform come first, for they take longest: two processes then end at about the same time.
    in_browser = {item.path for item in items if "chromium" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (item.path in in_browser, item.path.parent.name == "browser"))


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on."""
    return services.free_port()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the session."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """SQLAlchemy URL of a database that is there for the whole session: for connections, not for tables."""
    return postgres_server.url("postgres")


@pytest.fixture(scope="module")
def postgres_database(postgres_server: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """SQLAlchemy URL of an empty database for this test module."""
    name = "test_" + re.sub(r"\W+", "_", request.node.nodeid.removeprefix("tests/").removesuffix(".py"))[-50:]
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis for the session; module-scoped fixtures take their own database number of it."""
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis for this test."""
    redis_server.flush()
    return redis_server.url()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window; RECLIFT_CHROMIUM names another."""
    from playwright.sync_api import sync_playwright

    named = os.environ.get("RECLIFT_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None or not Path(found).exists():
        raise ServiceError(
            f"no Chromium ({named or ', '.join(BROWSERS)}): `make test` installs it, or set RECLIFT_CHROMIUM"
        )
    # Chromium's sandbox needs rights that containers and root do not give; the tests open only our own pages.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"]
    arguments += ["--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page in a fresh browser profile; the test fails on any error in the console or the scripts."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="UTC")
    context.set_default_timeout(15_000)
    opened = context.new_page()
    errors: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"console: {message.text} ({message.location.get('url', '')})")

    opened.on("console", on_console)
    opened.on("pageerror", lambda error: errors.append(f"script: {error}"))
    yield opened
    context.close()
    expected = [p for mark in request.node.iter_markers("expected_console_errors") for p in mark.args]
    unexpected = [error for error in errors if not any(re.search(pattern, error) for pattern in expected)]
    assert not unexpected, "the browser reported errors:\n" + "\n".join(unexpected)
