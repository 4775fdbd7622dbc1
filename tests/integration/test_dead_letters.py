"""Dead letters over HTTP and on the command line."""

from __future__ import annotations

from click.testing import CliRunner

from reclift.cli.dead_letters import dead_letters as command
from reclift.domain.events import Facts
from reclift.flows.dead_letters import Burying
from reclift.storage.sinks.encoding import encode
from reclift.wiring import Runtime
from tests.platform_fixtures import SECRET, Caller
from tests.unit.storage.rows import event

PATH = "/api/v1/dead-letters"


def bury(runtime: Runtime) -> None:
    burying = Burying(runtime.database, runtime.direct, "stream")
    burying.bury(encode(Facts([event("late")])), "handed out too often", Facts([event("late")]))
    burying.append(Facts([event("bad", at=2**63)]))


def test_they_are_listed_read_replayed_and_discarded(
    runtime: Runtime, manage: Caller, read: Caller, shop: Caller, nobody: Caller
) -> None:
    assert read.ok("GET", PATH) == {"dead_letters": [], "total": 0}
    bury(runtime)
    listed = read.ok("GET", f"{PATH}?limit=1")
    assert listed["total"] == 2
    (refused,) = listed["dead_letters"]
    good = refused["id"] - 1
    assert read.ok("GET", f"{PATH}/{good}")["reason"] == "handed out too often"
    assert b"reclift_dead_letters 2.0" in nobody("GET", "/metrics").data
    read.refused("POST", f"{PATH}/{good}/replay", status=403)
    shop.refused("GET", PATH, status=403)
    assert manage.ok("POST", f"{PATH}/{good}/replay") == {"id": good, "accepted": 1}
    manage.refused("POST", f"{PATH}/{good}/replay", status=404)
    assert "cannot be written" in manage.refused("POST", f"{PATH}/{refused['id']}/replay", status=409)["detail"]
    manage.ok("DELETE", f"{PATH}/{refused['id']}", status=204)
    manage.refused("DELETE", f"{PATH}/{refused['id']}", status=404)
    manage.refused("GET", f"{PATH}/x", status=404)
    assert read.ok("GET", PATH)["total"] == 0


def test_the_command_line_does_the_same(runtime: Runtime) -> None:
    bury(runtime)
    environment = {"RECLIFT_DATA_DIR": str(runtime.settings.data_dir), "RECLIFT_SECRET_KEY": SECRET}
    runner = CliRunner(env=environment)
    listed = runner.invoke(command, ["list"], catch_exceptions=False).stdout
    assert "handed out too often" in listed
    assert '"late"' in runner.invoke(command, ["show", "1"], catch_exceptions=False).stdout
    assert "1\t1 new facts" in runner.invoke(command, ["replay", "1"], catch_exceptions=False).stdout
    assert runner.invoke(command, ["replay", "2"]).exit_code != 0
    assert runner.invoke(command, ["discard", "2"], catch_exceptions=False).exit_code == 0
    assert runner.invoke(command, ["list"], catch_exceptions=False).stdout == ""
