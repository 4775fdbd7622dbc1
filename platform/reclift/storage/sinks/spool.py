"""Files on disk as a sink: what nothing else takes waits here and drains by itself."""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import orjson
import structlog

from reclift.domain.events import Facts
from reclift.storage.eventlog import GroupCommit, Poison, SinkUnavailable
from reclift.storage.facts import Receipt

log = structlog.get_logger(__name__)

_SUFFIX = ".jsonl"
_ASIDE = ".poison"
_MOST_ASIDE = 100_000_000
_ROTATE_BYTES = 8_000_000
_TOGETHER = 500
"""Facts that are drained in one transaction."""


Bury = Callable[[bytes, str], object]
"""Keeps a line that can never be written, with the reason."""


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
        """Write and sync, together with whoever else is waiting. `Poison` when it cannot be written as JSON."""
        return self._group.run(facts)

    def append_many(self, batches: Sequence[Facts]) -> list[Receipt | Exception]:
        """Write them together, and sync once."""
        return self._group.run_many(batches)

    def _commit(self, batches: list[Facts]) -> list[Receipt | Exception]:
        lines = [_line(facts) for facts in batches]
        data = b"".join(line for line in lines if isinstance(line, bytes))
        try:
            if data:
                self._write(data)
        except OSError as error:
            refused = SinkUnavailable(f"the spool cannot be written: {error}")
            return [line if isinstance(line, Exception) else refused for line in lines]
        return [
            line if isinstance(line, Exception) else Receipt(len(facts))
            for line, facts in zip(lines, batches, strict=True)
        ]

    def _write(self, data: bytes) -> None:
        file = self._open()
        start = file.tell()
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            # What was written was not acknowledged. If it cannot be cut off either, at least nothing is written
            # behind it: the file is left to be drained, and the next batch begins a new one.
            with contextlib.suppress(OSError):
                file.truncate(start)
            self._close()
            raise

    def _open(self) -> BinaryIO:
        if self._file is not None and self._file.tell() < _ROTATE_BYTES:
            return self._file
        self._close()
        self._folder.mkdir(parents=True, exist_ok=True)
        waiting = self.size()
        if waiting > self._max_bytes:
            raise OSError(f"it holds {waiting} bytes already, the most is {self._max_bytes}")
        path = self._folder / f"{uuid.uuid4()}{_SUFFIX}"
        opening = path.with_suffix(".new")
        file: BinaryIO = opening.open("ab", buffering=0)
        try:
            # Locked before it has the name by which drains find it: nobody can take it away before the first line.
            fcntl.flock(file, fcntl.LOCK_EX)
            opening.rename(path)
            self._sync_folder()
        except OSError:
            file.close()
            raise
        self._file = file
        return file

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def size(self) -> int:
        """Bytes that wait."""
        total = 0
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # somebody drained it just now
                total += path.stat().st_size
        return total

    def aside(self) -> int:
        """Bytes of what was set aside because it can never be written."""
        return sum(path.stat().st_size for path in self._folder.glob(f"*{_ASIDE}"))

    def drain(self, write: Callable[[Facts], object], bury: Bury | None = None) -> int:
        """Hand everything that waits to `write` and remove it; returns the number of facts.

        Stops at the first `SinkUnavailable`: what is left waits on. A torn last line was never acknowledged and is
        dropped; what can never be written goes to `bury`, with the reason. Without it, it is set aside in a `.poison`
        file, up to 100 MB; beyond that the line stays where it is. A later `bury` gets what was set aside as well.
        """
        if bury is not None:
            for path, file in self._free(_ASIDE):
                for line in file:
                    bury(line, "set aside when the spool was drained")
                path.unlink()
        if not any(self._folder.glob(f"*{_SUFFIX}")):
            return 0
        self._group.run_alone(self._close)
        drained = 0
        for path, file in self._free(_SUFFIX):
            for lines in _portions(file):
                drained += self._drain_lines(path, lines, write, bury)
            path.unlink()
        return drained

    def _free(self, suffix: str) -> Iterator[tuple[Path, BinaryIO]]:
        """Files that belong to nobody, locked while the caller works on them."""
        for path in sorted(self._folder.glob(f"*{suffix}")):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue  # somebody else drained it
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if path.exists():
                    yield path, file

    def _drain_lines(self, path: Path, lines: list[bytes], write: Callable[[Facts], object], bury: Bury | None) -> int:
        together = Facts()
        good: list[tuple[bytes, Facts]] = []
        for line in lines:
            facts = self._parse(path, line, bury)
            if facts is not None:
                good.append((line, facts))
                together.extend(facts)
        try:
            if len(together):
                write(together)
        except Poison:
            return sum(self._drain_alone(path, line, facts, write, bury) for line, facts in good)
        return len(together)

    def _drain_alone(
        self, path: Path, line: bytes, facts: Facts, write: Callable[[Facts], object], bury: Bury | None
    ) -> int:
        try:
            write(facts)
        except Poison as error:
            self._set_aside(path, line, str(error), bury)
            return 0
        return len(facts)

    def _parse(self, path: Path, line: bytes, bury: Bury | None) -> Facts | None:
        try:
            return Facts(**orjson.loads(line))
        except (orjson.JSONDecodeError, TypeError) as error:
            if line.endswith(b"\n"):
                self._set_aside(path, line, str(error), bury)
            else:
                log.warning("spool_line_torn", file=path.name, bytes=len(line))
            return None

    def _set_aside(self, path: Path, line: bytes, reason: str, bury: Bury | None) -> None:
        if bury is not None:
            bury(line, reason)
            return
        if self.aside() + len(line) > _MOST_ASIDE:
            raise SinkUnavailable(f"the spool has set {self.aside()} bytes aside already, the most is {_MOST_ASIDE}")
        log.error("spool_batch_poisonous", file=path.name, bytes=len(line), reason=reason)
        with path.with_suffix(_ASIDE).open("ab") as aside:
            aside.write(line)
            aside.flush()
            os.fsync(aside.fileno())


def _line(facts: Facts) -> bytes | Exception:
    try:
        return orjson.dumps(
            {"events": facts.events, "impressions": facts.impressions, "exposures": facts.exposures},
            option=orjson.OPT_APPEND_NEWLINE,
        )
    except orjson.JSONEncodeError as error:
        return Poison(f"the batch cannot be written as JSON: {error}")


def _portions(file: BinaryIO) -> Iterator[list[bytes]]:
    """Lines in portions that are worth a transaction, without reading the whole file."""
    lines: list[bytes] = []
    weight = 0
    for line in file:
        lines.append(line)
        weight += 1 + line.count(b'"unit_id"')
        if weight >= _TOGETHER:
            yield lines
            lines, weight = [], 0
    if lines:
        yield lines
