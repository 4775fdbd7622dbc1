"""`kill -9` of the embedded server and its worker in the middle of a load: what was acknowledged is there, once."""

from __future__ import annotations

from pathlib import Path

from tests.integration.crash import Shop, everything_once, prepare, spool_size
from tests.platform_fixtures import SECRET, build_runtime
from tests.reclift_server import RecliftServer
from tests.services import wait_until


def test_kill_9_loses_and_doubles_nothing(tmp_path: Path) -> None:
    here = build_runtime(tmp_path / "var")
    key = prepare(here)
    server = RecliftServer({"DATA_DIR": str(tmp_path / "var"), "SECRET_KEY": SECRET})
    try:
        server.start()
        with Shop(server.port, key) as shop:
            for _ in range(2):
                shop.goes_on(25)
                server.kill()
                server.start()
            shop.goes_on(25)
        assert shop.refused > 0
        wait_until(lambda: spool_size(tmp_path / "var") == 0, 20)
        everything_once(here.database, shop)
    finally:
        server.close()
        here.close()
