"""A database that hangs: who waits is freed, nobody is sent there until it answers, and then everybody is again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from reclift.domain.events import Facts
from reclift.storage import database as database_module
from reclift.storage import patience
from reclift.storage.database import Database
from reclift.storage.eventlog import SinkUnavailable
from reclift.storage.facts import Receipt
from reclift.storage.migrate import migrate
from reclift.storage.patience import Circuit, DatabaseAway, Deadlines
from reclift.storage.sinks.database import DatabaseSink
from tests.services import PostgresServer, wait_until
from tests.tcp_proxy import TcpProxy
from tests.unit.storage.rows import event


class Line:
    """What a driver's connection is to the watch: something with a socket."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()

    def fileno(self) -> int:
        return self.near.fileno()


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[TcpProxy]:
    with TcpProxy(postgres_server.port) as proxy:
        yield proxy


@pytest.fixture
def database(
    postgres_database: str, postgres_server: PostgresServer, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """Behind a network that can fall silent; patient for a tenth of a second."""
    monkeypatch.setattr(database_module, "QUICK_SECONDS", 0.1)
    monkeypatch.setattr(patience, "_PROBE_SECONDS", 0.02)
    database = Database(postgres_database.replace(f":{postgres_server.port}/", f":{proxy.port}/"))
    yield database
    proxy.go_on()
    database.dispose()


def test_a_connection_that_works_for_too_long_is_cut_and_no_other() -> None:
    deadlines, slow, quick = Deadlines(), Line(), Line()
    with deadlines.cut(quick, 60) as quick_is_cut, deadlines.cut(slow, 0.01) as is_cut:
        assert slow.near.recv(1) == b""  # whoever waits on it is freed
        assert is_cut()
        assert not quick_is_cut()
    quick.far.send(b"x")
    assert quick.near.recv(1) == b"x"


def test_a_connection_is_not_cut_once_its_work_is_done() -> None:
    deadlines, line, other = Deadlines(), Line(), Line()
    with deadlines.cut(line, 0.01):
        pass
    with deadlines.cut(other, 0.05):
        assert other.near.recv(1) == b""  # the watch has been round since
    line.far.send(b"x")
    assert line.near.recv(1) == b"x"


def test_a_connection_that_is_closed_already_harms_nobody() -> None:
    deadlines, closed, line = Deadlines(), Line(), Line()
    closed.near.close()
    with deadlines.cut(closed, 0.01), deadlines.cut(line, 0.05):
        assert line.near.recv(1) == b""


def test_an_open_circuit_closes_when_the_database_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_PROBE_SECONDS", 0.001)
    answers, asked = threading.Event(), threading.Semaphore(0)

    def probe() -> None:
        asked.release()
        if not answers.is_set():
            raise DatabaseAway("still")

    circuit = Circuit(probe)
    circuit.check()
    circuit.trip("it hangs")
    circuit.trip("again")
    with pytest.raises(DatabaseAway, match="it hangs"):
        circuit.check()
    for _ in range(3):
        assert asked.acquire(timeout=10)
    assert circuit.is_open
    answers.set()
    wait_until(lambda: not circuit.is_open, 10)
    circuit.check()


def ask(database: Database) -> Any:
    with database.within(0.3) as connection:
        return connection.execute(text("SELECT 1")).scalar_one()


def test_a_query_that_gets_no_answer_opens_the_circuit_for_everybody(database: Database, proxy: TcpProxy) -> None:
    assert ask(database) == 1
    with pytest.raises(DatabaseAway, match=r"within 0\.3 seconds"), database.within(0.3) as connection:
        connection.execute(text("SELECT 1"))
        proxy.fall_silent()
        connection.execute(text("SELECT 2"))
    for enter in (database.within, database.read, database.write, database.connection):
        with pytest.raises(DatabaseAway), enter():
            raise AssertionError("nobody gets here")
    proxy.go_on()
    wait_until(lambda: not database.circuit.is_open, 10)
    assert ask(database) == 1


def test_a_pooled_connection_that_hangs_costs_one_ping(database: Database, proxy: TcpProxy) -> None:
    assert ask(database) == 1
    proxy.fall_silent()
    with pytest.raises(DatabaseAway, match="ping"):
        ask(database)
    assert database.circuit.is_open
    proxy.go_on()
    wait_until(lambda: not database.circuit.is_open, 10)
    assert ask(database) == 1


def test_a_new_connection_that_hangs_opens_the_circuit_too(database: Database, proxy: TcpProxy) -> None:
    proxy.fall_silent()
    with pytest.raises(DatabaseAway):
        ask(database)
    assert database.circuit.is_open


def test_an_error_that_comes_at_once_leaves_the_circuit_alone(database: Database) -> None:
    with pytest.raises(OperationalError), database.within(5.0) as connection:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert not database.circuit.is_open
    assert ask(database) == 1


def test_a_reader_with_patience_is_freed(database: Database, proxy: TcpProxy) -> None:
    with pytest.raises(OperationalError), database.read(patience=0.1) as session:
        proxy.fall_silent()
        session.execute(text("SELECT 1"))


def test_the_sink_passes_on_and_what_was_committed_unseen_counts_once(database: Database, proxy: TcpProxy) -> None:
    migrate(database)
    sink = DatabaseSink(database, patience=0.3)
    assert sink.append(Facts([event("e1")])) == Receipt(1, 0)
    proxy.fall_silent()
    results: list[object] = []

    def send() -> None:
        try:
            results.append(sink.append(Facts([event("e1"), event("e2")])))
        except SinkUnavailable as error:
            results.append(error)

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [type(result) for result in results] == [SinkUnavailable] * 6
    proxy.go_on()
    wait_until(lambda: not database.circuit.is_open, 10)
    patient = DatabaseSink(database)
    assert patient.append(Facts([event("e1"), event("e2"), event("e3")])).duplicates in {1, 2}
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM events")).scalar_one() == 3
