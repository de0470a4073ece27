"""A daemon on another machine, as far as clients can tell: its socket, forwarded to a port."""

import contextlib
import socket
import threading


class Forwarded:
    """Passes on what comes to a local port; `cut` is a network that fails."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: list[socket.socket] = []
        self._held = threading.Lock()  # of `_open`: a connection may arrive while all are cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._path)
            with self._held:
                self._open += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()

    def cut(self) -> None:
        """Break every connection."""
        with self._held:
            for each in self._open:
                with contextlib.suppress(OSError):  # over by itself
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._open.clear()

    def close(self) -> None:
        """Listen no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._serving.join()  # what it had accepted is known now, and cut as well
        self.cut()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # cut
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
