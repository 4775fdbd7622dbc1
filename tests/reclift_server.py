"""A really running `reclift serve` for tests: its own process, port and data folder."""

from __future__ import annotations

import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import NamedTuple

from tests.services import Service


class Answer(NamedTuple):
    """What came back over HTTP, errors included."""

    status: int
    headers: Mapping[str, str]
    body: str


class RecliftServer(Service):
    """`reclift serve` in a temporary folder. `stop` sends SIGTERM, as every process manager does."""

    name = "reclift"

    def __init__(
        self, settings: Mapping[str, str] | None = None, *, python: str = sys.executable, options: tuple[str, ...] = ()
    ) -> None:
        """`settings`: RECLIFT_ variables without the prefix; `python`: an interpreter with reclift installed."""
        super().__init__()
        self.settings = dict(settings or {})
        self.python = python
        self.options = options

    @property
    def environment(self) -> Mapping[str, str]:
        """Nothing of the tester's own settings, and no way to import the checkout by chance."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("RECLIFT_", "PYTHONPATH", "PYTEST_"))
        }
        own = {"DATA_DIR": str(self.folder / "var"), "SECRET_KEY": "only-for-tests-" + "x" * 32, **self.settings}
        return {**inherited, **{f"RECLIFT_{name}": value for name, value in own.items()}}

    def command(self) -> list[str]:
        """As a module, so that any interpreter will do."""
        return [self.python, "-m", "reclift", "serve", "--host", "127.0.0.1", "--port", str(self.port), *self.options]

    def is_up(self) -> bool:
        """Whether it says that it lives."""
        try:
            return self.get("/health/live").status == 200
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Stop, and take along whatever of its children is left."""
        process = self.process
        super().stop(sign)
        if process is not None:
            self.process = process
            self.kill()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET; an error status is an answer too."""
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return Answer(response.status, response.headers, response.read().decode(errors="replace"))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read().decode(errors="replace"))
