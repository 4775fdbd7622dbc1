"""How the worker of an embedded server ends: at once when nothing is at work, instead of folding up for seconds.

Celery ends its parts one after the other, each with waits of its own. A production worker may take that time. Embedded,
somebody waits at the terminal, and there is nothing to fold up: a job is a row in the database, and one whose message
was about to be taken stays queued and is sent again by the sweeper. A job that is at work is waited for, as ever.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

from billiard.process import active_children
from celery.signals import worker_shutting_down
from celery.worker import state

_LOOK_SECONDS = 0.05


def end_quickly() -> None:
    """From now on, in this process: when Celery is told to end, end as soon as no task is at work."""
    worker_shutting_down.connect(_begin, weak=False)


def _begin(**_: Any) -> None:
    threading.Thread(target=_end_when_idle, name="reclift-end", daemon=True).start()


def _end_when_idle() -> None:
    while state.reserved_requests:
        time.sleep(_LOOK_SECONDS)
    for child in active_children():  # the pool and the clock: none of them has anything in hand
        if child.pid is not None:
            os.kill(child.pid, signal.SIGTERM)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
