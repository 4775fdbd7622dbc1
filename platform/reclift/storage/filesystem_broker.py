"""Celery's broker in a folder, for installations without Redis: kombu's, with messages that appear whole.

Kombu's own opens the file that a worker looks for, and then writes it. A worker that takes it in between finds no
message in it: it ends, and the job is lost.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from time import monotonic
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

SCHEME = "reclift-files"
"""Of broker addresses: `reclift-files://`, with the transport options of kombu's `filesystem`."""


class Channel(filesystem.Channel):
    """Kombu's channel, but for how a message is put."""

    def _put(self, queue: Any, payload: Any, **_: Any) -> None:  # type: ignore[override]  # its bases disagree on names
        # As kombu names it: workers take them in the order of their names.
        name = f"{round(monotonic() * 1_000)}_{uuid.uuid4()}.{queue}.msg"
        folder = Path(self.data_folder_out)
        unfinished = folder / f"{name}.new"
        try:
            unfinished.write_text(dumps(payload), encoding="utf-8")  # type: ignore[no-untyped-call]  # likewise
            unfinished.replace(folder / name)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise ChannelError(f"cannot put a message into {str(folder)!r}: {error}") from error


class Transport(filesystem.Transport):
    """The transport of `reclift-files://`."""

    Channel = Channel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
