"""A network between two processes that can fall silent: connections stay open, and nothing comes through."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class TcpProxy:
    """Forwards a port of the local host to another. While it is silent it takes connections and forwards nothing."""

    def __init__(self, target: int) -> None:
        """`target`: the port behind it."""
        self._target = target
        self._flows = threading.Event()
        self._flows.set()
        self._closed = False
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._flows.set()
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):  # the other end may have gone already
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def fall_silent(self) -> None:
        """From now on nothing comes through; what was sent waits."""
        self._flows.clear()

    def go_on(self) -> None:
        """What waited comes through, in order."""
        self._flows.set()

    @staticmethod
    def _run(action: object, *given: object) -> None:
        threading.Thread(target=action, args=given, daemon=True).start()  # type: ignore[arg-type]  # a method of ours

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed
            self._run(self._serve, near)

    def _serve(self, near: socket.socket) -> None:
        self._flows.wait()
        try:
            far = socket.create_connection(("127.0.0.1", self._target))
        except ConnectionRefusedError:
            near.close()  # as whoever asked would have been told
            return
        self._sockets += [near, far]
        self._run(self._pump, near, far)
        self._pump(far, near)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                self._flows.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return  # one of them is gone; the other end will see it
