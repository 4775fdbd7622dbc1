"""PostgreSQL that hangs instead of refusing: the shop is answered all the same, and nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.crash import Shop, everything_once, prepare, spool_size
from tests.integration.test_crash_production import own_postgres
from tests.platform_fixtures import SECRET, build_runtime
from tests.reclift_server import RecliftServer
from tests.services import PostgresServer, wait_until
from tests.tcp_proxy import TcpProxy

__all__ = ["own_postgres"]


@contextmanager
def silent_network(postgres: PostgresServer, proxy: TcpProxy) -> Iterator[None]:
    assert postgres.process is not None  # it is there, and cannot be heard
    proxy.fall_silent()
    try:
        yield
    finally:
        proxy.go_on()


@contextmanager
def frozen_processes(postgres: PostgresServer, _proxy: TcpProxy) -> Iterator[None]:
    """The kernel goes on to take connections and to acknowledge packets for them."""
    assert postgres.process is not None
    children = Path(f"/proc/{postgres.process.pid}/task/{postgres.process.pid}/children").read_text().split()
    frozen = [postgres.process.pid, *map(int, children)]
    for number in frozen:
        os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        for number in frozen:
            os.kill(number, signal.SIGCONT)


@pytest.mark.parametrize("hangs", [silent_network, frozen_processes], ids=lambda one: one.__name__)
def test_the_shop_is_answered_and_everything_is_kept(
    own_postgres: PostgresServer,
    hangs: Callable[[PostgresServer, TcpProxy], object],
    tmp_path: Path,
) -> None:
    url = own_postgres.create_database("hangs")
    folder = tmp_path / "var"
    here = build_runtime(folder, database_url=url)
    key = prepare(here)
    with TcpProxy(own_postgres.port) as proxy:
        behind = url.replace(f":{own_postgres.port}/", f":{proxy.port}/")
        server = RecliftServer({"DATA_DIR": str(folder), "SECRET_KEY": SECRET, "DATABASE_URL": behind})
        try:
            server.start()
            with Shop(server.port, key) as shop:
                shop.goes_on()
                with hangs(own_postgres, proxy):  # type: ignore[attr-defined]  # a context manager
                    shop.goes_on(200)
                    assert spool_size(folder) > 0
                    assert '"degraded"' in server.get("/health/ready").body
                    assert server.get("/metrics").status == 200
                    shop.goes_on(20)
                shop.goes_on(20)
                assert shop.refused == 0  # not one was told to try again
            wait_until(lambda: spool_size(folder) == 0, 30)
            wait_until(lambda: '"degraded"' not in server.get("/health/ready").body, 10)
            everything_once(here.database, shop)
        finally:
            server.close()
            here.close()
