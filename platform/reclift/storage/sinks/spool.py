"""Files on disk as a sink: what nothing else takes waits here and drains by itself."""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import orjson
import structlog

from reclift.domain.events import Facts
from reclift.storage.eventlog import GroupCommit, Poison, SinkUnavailable
from reclift.storage.facts import Receipt

log = structlog.get_logger(__name__)

_SUFFIX = ".jsonl"
_ROTATE_BYTES = 8_000_000


class SpoolSink:
    """Appends batches as lines of JSON, synced to disk before they are acknowledged.

    A process writes its own file and holds a lock on it; a file whose lock is free belongs to nobody any more and may
    be drained by anyone. Draining twice is harmless: the tables take each key once.
    """

    name = "spool"

    def __init__(self, folder: Path, *, max_bytes: int = 10_000_000_000) -> None:
        """`max_bytes` bounds all files together; beyond it the spool refuses."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._file: BinaryIO | None = None
        self._group: GroupCommit[Facts, Receipt] = GroupCommit(self._commit)

    def append(self, facts: Facts) -> Receipt:
        """Write and sync, together with whoever else is waiting."""
        return self._group.run(facts)

    def _commit(self, batches: list[Facts]) -> list[Receipt | Exception]:
        try:
            file = self._open()
            start = file.tell()
            try:
                for facts in batches:
                    file.write(orjson.dumps(asdict(facts)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(start)
                raise
        except OSError as error:
            return [SinkUnavailable(f"the spool cannot be written: {error}")] * len(batches)
        return [Receipt(len(facts)) for facts in batches]

    def _open(self) -> BinaryIO:
        if self._file is not None and self._file.tell() < _ROTATE_BYTES:
            return self._file
        self._close()
        self._folder.mkdir(parents=True, exist_ok=True)
        if self.size() > self._max_bytes:
            raise OSError(f"it holds more than {self._max_bytes} bytes")
        file = (self._folder / f"{uuid.uuid4()}{_SUFFIX}").open("ab")
        fcntl.flock(file, fcntl.LOCK_EX)
        self._file = file
        return file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def size(self) -> int:
        """Bytes that wait."""
        return sum(path.stat().st_size for path in self._folder.glob(f"*{_SUFFIX}")) if self._folder.is_dir() else 0

    def drain(self, write: Callable[[Facts], object]) -> int:
        """Hand everything that waits to `write` and remove it; returns the number of facts.

        Stops at the first `SinkUnavailable`: what is left waits on. A torn last line was never acknowledged and is
        dropped; a batch that can never be written is set aside in a `.poison` file and logged.
        """
        if not self._folder.is_dir() or not any(self._folder.glob(f"*{_SUFFIX}")):
            return 0
        self._group.run_alone(self._close)
        drained = 0
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if not path.exists():
                    continue
                for line in file:
                    drained += self._drain_line(path, line, write)
                path.unlink()
        return drained

    def _drain_line(self, path: Path, line: bytes, write: Callable[[Facts], object]) -> int:
        try:
            facts = Facts(**orjson.loads(line))
        except (orjson.JSONDecodeError, TypeError):
            log.warning("spool_line_torn", file=path.name, bytes=len(line))
            return 0
        try:
            write(facts)
        except Poison as error:
            log.error("spool_batch_poisonous", file=path.name, facts=len(facts), reason=str(error))
            with path.with_suffix(".poison").open("ab") as aside:
                aside.write(line)
            return 0
        return len(facts)
