"""The server that the demo plays against and leaves running: `reclift serve` as a child process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen

import orjson

START_SECONDS = 90
STOP_SECONDS = 20


class DemoServerError(Exception):
    """The server did not start, or it ended; the message has the end of what it printed."""


class DemoServer:
    """`reclift serve` with its own log file. As a context it is stopped at the end, whatever happens."""

    def __init__(self, host: str, port: int, log: Path) -> None:
        """`log`: where the server prints to."""
        self.host, self.port, self.log = host, port, log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.host}:{self.port}"

    def check_port(self) -> None:
        """Refuse at once what would fail at the end; `DemoServerError`."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                raise DemoServerError(
                    f"port {self.port} cannot be used ({error.strerror}): choose another with --port"
                ) from error

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["serve", "--host", self.host, "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own command with our own arguments)
                [sys.executable, "-m", "reclift", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches only the demo, which then stops the server in good order
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            self.check()
            if time.monotonic() > deadline:
                raise DemoServerError(
                    f"the server did not answer within {START_SECONDS} seconds:\n{self._last_words()}"
                )
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return self.get("/health/live") is not None
        except OSError:  # not listening yet
            return False

    def get(self, path: str) -> Any:
        """The JSON of a GET; None for an error status."""
        try:
            with urlopen(self.url + path, timeout=10) as response:  # noqa: S310 (our own http address)
                return orjson.loads(response.read())
        except HTTPError:
            return None

    def check(self) -> None:
        """`DemoServerError` when it is gone."""
        if self._process is None or self._process.poll() is not None:
            code = self._process.returncode if self._process else None
            raise DemoServerError(f"the server ended (code {code}); the end of {self.log}:\n{self._last_words()}")

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def wait(self) -> None:
        """Until it ends by itself."""
        if self._process is not None:
            self._process.wait()
            self.check()

    def stop(self) -> None:
        """Stop it in good order; what is left of it after a while is killed."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> Self:
        """Nothing starts yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()
