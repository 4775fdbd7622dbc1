"""A message is there as a whole or not at all, and workers get it."""

from __future__ import annotations

import threading
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection
from kombu.exceptions import ChannelError

from reclift.storage.filesystem_broker import SCHEME


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    folders = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path / "c")}
    return Connection(f"{SCHEME}://", transport_options=folders)


def test_what_is_put_is_got_in_order(connection: Connection) -> None:
    queue = connection.SimpleQueue("jobs")
    for number in range(3):
        queue.put({"job": number, "ü": "é"})
    got = []
    for _ in range(3):
        message = queue.get(timeout=5)
        got.append(message.payload)
        message.ack()
    assert sorted(one["job"] for one in got) == [0, 1, 2]
    assert got[0]["ü"] == "é"
    with pytest.raises(Empty):
        queue.get(block=False)


def test_nobody_sees_half_a_message(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = connection.channel()
    seen: list[Any] = []
    replace = Path.replace

    def looking(source: Path, target: Any) -> Any:
        assert source.stat().st_size > 0
        try:
            seen.append(connection.channel()._get("jobs"))
        except Empty:
            seen.append("nothing")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", looking)
    channel._put("jobs", {"job": 1})
    assert seen == ["nothing"]
    assert channel._get("jobs") == {"job": 1}


def test_many_put_while_others_take(connection: Connection) -> None:
    got: list[int] = []
    done = threading.Event()

    def take() -> None:
        channel = connection.channel()
        while True:
            finished = done.is_set()
            try:
                got.append(channel._get("jobs")["job"])
            except Empty:
                if finished:
                    return

    takers = [threading.Thread(target=take) for _ in range(2)]
    for taker in takers:
        taker.start()
    channel = connection.channel()
    for number in range(300):
        channel._put("jobs", {"job": number, "padding": "x" * 5_000})
    done.set()
    for taker in takers:
        taker.join(30)
    assert sorted(got) == list(range(300))


def test_a_folder_that_cannot_be_written_is_said(connection: Connection, tmp_path: Path) -> None:
    channel = connection.channel()
    channel.data_folder_out = str(tmp_path / "nowhere")
    with pytest.raises(ChannelError, match="nowhere"):
        channel._put("jobs", {"job": 1})
