"""PostgreSQL and Redis for tests: throw-away instances on free ports, never the machine's own services.

Each is started by the tests themselves in a temporary folder and can be stopped, killed and started again on the same
port and data, so that tests can see what an outage does.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

START_SECONDS = 60
STOP_SECONDS = 20


class ServiceError(Exception):
    """A service that tests need is missing or did not start; the message says which and what it printed."""


def free_port() -> int:
    """A TCP port of the local host that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_program(name: str, *folders: str, package: str) -> str:
    """The path of a program from the PATH or from folders (patterns allowed; the highest version first)."""
    found = shutil.which(name)
    if found:
        return found
    candidates = [path for folder in folders for path in Path("/").glob(f"{folder}/{name}")]
    if not candidates:
        raise ServiceError(f"{name} is not installed: `make test` installs it, or install the package {package}")
    return str(max(candidates, key=lambda path: [int(part) for part in path.parts if part.isdigit()]))


class Service:
    """A child process with a port and a folder of its own; the folder goes when it is closed."""

    name = "service"

    def __init__(self, user: str | None = None) -> None:
        """`user`: who the process runs as (only root can choose)."""
        self.port = free_port()
        self.user = user
        self.folder = Path(tempfile.mkdtemp(prefix=f"reclift-{self.name}-"))
        if user is not None:
            shutil.chown(self.folder, user)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def as_user(self) -> Mapping[str, Any]:
        """What `subprocess` needs to run something as this service's user."""
        if self.user is None:
            return {}
        entry = pwd.getpwnam(self.user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}

    @property
    def log(self) -> Path:
        """Where the process prints to."""
        return self.folder / "log"

    @property
    def environment(self) -> Mapping[str, str]:
        """What the process finds in its environment."""
        return os.environ

    def command(self) -> list[str]:
        """The command line of the process."""
        raise NotImplementedError

    def is_up(self) -> bool:
        """Whether it answers."""
        raise NotImplementedError

    def start(self) -> None:
        """Start and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment,
                start_new_session=True,
                **self.as_user,
            )
        wait_until(self.is_up, START_SECONDS, self._why_not_up)

    def _why_not_up(self) -> str | None:
        """A reason to stop waiting, once the process is gone."""
        if self.process is not None and self.process.poll() is not None:
            return f"{self.name} ended with {self.process.returncode}:\n{self.log.read_text(errors='replace')[-4000:]}"
        return None

    def stop(self, sign: signal.Signals = signal.SIGINT) -> None:
        """Stop in good order, so that the data is there at the next start."""
        if self.process is None:
            return
        self.process.send_signal(sign)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """`kill -9` on the process and its children: the machine's plug, as far as the service can tell."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it may have ended by itself just now
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)
        self.process = None

    def close(self) -> None:
        """Stop for good and remove the data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgresServer(Service):
    """A PostgreSQL with a fresh cluster. `fsync` is off: fast, and still safe against everything but a power cut."""

    name = "postgres"

    def __init__(self) -> None:
        """Make the cluster. PostgreSQL refuses to run as root; then it runs as the package's own user."""
        super().__init__(user=_unprivileged_user() if os.geteuid() == 0 else None)
        initdb = find_program("initdb", "usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", package="postgresql")
        self.programs = Path(initdb).resolve().parent  # the link's target: the other programs are beside it
        made = subprocess.run(
            [
                self.programs / "initdb",
                *("--pgdata", self.data, "--username", "reclift", "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self.as_user,
        )
        if made.returncode:
            raise ServiceError(f"initdb failed:\n{made.stdout}{made.stderr}")

    @property
    def data(self) -> Path:
        """The cluster's folder."""
        return self.folder / "data"

    def command(self) -> list[str]:
        """One cluster, TCP on the local host only, no socket file."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "timezone": "UTC",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.data), "-p", str(self.port), *options]

    def is_up(self) -> bool:
        """Whether it takes connections (a listening port is not enough: it may still recover)."""
        import psycopg

        try:
            with psycopg.connect(self.dsn("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def dsn(self, database: str) -> str:
        """For psycopg itself."""
        return f"postgresql://reclift@127.0.0.1:{self.port}/{database}"

    def url(self, database: str) -> str:
        """For SQLAlchemy, and for RECLIFT_DATABASE_URL."""
        return f"postgresql+psycopg://reclift@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """An empty database; its URL."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


class RedisServer(Service):
    """A Redis in memory; with `durable` it writes each command to disk before it answers, and survives `kill`."""

    name = "redis"

    def __init__(self, *, durable: bool = False) -> None:
        """Nothing is read from the machine's own configuration."""
        super().__init__()
        self.durable = durable
        self.program = find_program("redis-server", package="redis-server")

    def command(self) -> list[str]:
        """The local host only, no snapshots."""
        log = ["--appendonly", "yes", "--appendfsync", "always"] if self.durable else ["--appendonly", "no"]
        listen = ["--port", str(self.port), "--bind", "127.0.0.1"]
        return [self.program, *listen, "--dir", str(self.folder), "--save", "", *log]

    def is_up(self) -> bool:
        """Whether it answers PING (while it loads its log it says so instead)."""
        import redis

        try:
            with redis.Redis.from_url(self.url(), socket_timeout=2) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False

    def url(self, database: int = 0) -> str:
        """For redis-py, Celery and RECLIFT_REDIS_URL."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def flush(self) -> None:
        """Empty all its databases."""
        import redis

        with redis.Redis.from_url(self.url()) as client:
            client.flushall()


def _unprivileged_user() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):  # that user is not on this machine: try the next
            return pwd.getpwnam(name).pw_name
    raise ServiceError("PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody'")


def wait_until(
    ready: Callable[[], bool], seconds: float = START_SECONDS, why_not: Callable[[], str | None] | None = None
) -> None:
    """Wait for `ready`; `ServiceError` after `seconds`, or at once when `why_not` gives a reason."""
    deadline = time.monotonic() + seconds
    while not ready():
        reason = why_not() if why_not else None
        if reason:
            raise ServiceError(reason)
        if time.monotonic() > deadline:
            raise ServiceError(f"not ready after {seconds} seconds: {ready}")
        time.sleep(0.05)
