"""The client's end of a container whose server is reached by its standard input and output alone.

For daemons that do not share our file system and users: Docker Desktop, another machine, user namespaces.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
from threading import Thread
from typing import Any

from sandbox.relay import Relay

_HEAD = struct.Struct("!BxxxI")  # of what the daemon sends: 1 output or 2 errors, length
_STDOUT = 1
_CHUNK = 1 << 16
_WORDS_BYTES = 1 << 20  # of a server that never ends to complain
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Attached:
    """A `Stream` to the container's relay. `attached`: what the SDK calls a socket."""

    def __init__(self, attached: Any, words: int) -> None:
        self._attached = attached
        self._socket: socket.socket = getattr(attached, "_sock", attached)
        self._socket.setblocking(False)
        self._words = os.dup(words)
        self._raw = bytearray()
        self._left, self._kind = 0, _STDOUT  # of the piece that has begun

    def read(self) -> bytes | None:
        """What the server's relay said."""
        try:
            data = self._socket.recv(_CHUNK)
            while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
                data += self._socket.recv(_CHUNK)  # decrypted already: no poll would tell
        except _NOT_NOW:
            return None
        self._raw += data
        said = bytearray()
        while self._raw and (self._left or len(self._raw) >= _HEAD.size):
            if not self._left:
                self._kind, self._left = _HEAD.unpack_from(self._raw)
                del self._raw[: _HEAD.size]
            piece = bytes(self._raw[: self._left])
            del self._raw[: len(piece)]
            self._left -= len(piece)
            if self._kind == _STDOUT:
                said += piece
            elif os.fstat(self._words).st_size < _WORDS_BYTES:
                os.write(self._words, piece)
        return bytes(said) if said or not data else None

    def write(self, data: bytes) -> int:
        """Send to the server's relay."""
        try:
            return self._socket.send(data)
        except _NOT_NOW:
            return 0

    def descriptors(self) -> tuple[int, int]:
        """Both the socket."""
        return self._socket.fileno(), self._socket.fileno()

    def close(self) -> None:
        """Hang up: the container's standard input ends, and so does it."""
        os.close(self._words)
        getattr(self._attached, "_response", self._attached).close()  # the SDK ties the two together
        self._socket.close()


def connect(stream: Attached) -> socket.socket:
    """A control socket whose other end a thread of this process relays, until either side is gone."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def run() -> None:
        try:
            Relay(theirs, stream, makes_jobs=False).run()
        finally:
            stream.close()

    Thread(target=run, name="container's relay", daemon=True).start()
    return control
