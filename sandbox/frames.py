"""What a job's child and its client say to each other: frames over a socket pair, `kind, length, body`.

    client -> child   JOB (once)   CASE token + value   RESULT value
    child -> client   HARNESS (where there is one: empty, or why it does not load)   LOADED
                      FAILED token + [kind, message]   CALL name NUL value   ANSWER token + value
                      BUILT files, where the job is a build

Where the job is a command, LOADED is the last frame: bytes of its stdout follow.

The token is new with each case and is echoed, so that no answer can be given before its case is known.
Nothing from the child is believed: lengths are capped before a body is read, values are decoded strictly.
"""

from __future__ import annotations

import math
import select
import socket
import struct
import time

JOB, CASE, RESULT = b"j", b"c", b"r"
HARNESS, LOADED, FAILED, CALL, ANSWER, BUILT = b"H", b"L", b"F", b"C", b"A", b"B"
NAME_END = b"\0"  # of a call's; its argument follows
TOKEN_BYTES = 8
MESSAGE_BYTES = 8192  # of a FAILED body

_HEADER = struct.Struct("!cI")
_CHUNK = 1 << 16
_LONGEST_MS = (1 << 31) - 1  # that `poll` can wait: 24 days
_STALL_SECONDS = 5.0  # that nobody waits beyond a deadline, however busy the machine


class Gone(Exception):
    """The other side closed the channel or died."""


class Stalled(Exception):
    """This process stood still long past a deadline: nobody knows who was late."""


class TooLong(Exception):
    """A frame announced more than it may hold."""


Frame = tuple[bytes, bytes]  # kind, body


class Channel:
    """A stream of frames. `deadline` (monotonic seconds, None: never) holds for sends and receives alike.

    A program may make thousands of calls a case: each way costs as few system calls as can be.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.deadline: float | None = None
        self._socket = connection
        self._rest = b""
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(connection, select.POLLIN)
        self._writable.register(connection, select.POLLOUT)

    def _wait(self, ready: select.poll) -> None:
        """Wait until the socket is ready, if there is a deadline. Raises TimeoutError."""
        if self.deadline is None:
            return
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        if not ready.poll(min(math.ceil(1000 * remaining), _LONGEST_MS)):
            self._look_at_clock()
            raise TimeoutError

    def pending(self, seconds: float) -> bool:
        """Whether something comes within so many seconds, whatever the deadline; nothing is read."""
        return bool(self._rest or self._readable.poll(math.ceil(1000 * seconds)))

    def send(self, kind: bytes, body: bytes = b"") -> None:
        """Send one frame. Raises Gone or TimeoutError."""
        data = _HEADER.pack(kind, len(body)) + body
        try:
            if self.deadline is None:
                self._socket.sendall(data)
                return
            sent = self._try(data)
            while sent < len(data):
                self._wait(self._writable)
                sent += self._try(memoryview(data)[sent:])
        except (BrokenPipeError, ConnectionResetError):
            raise Gone from None

    def _try(self, data: bytes | memoryview) -> int:
        """Send what there is room for now: how many bytes."""
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def receive(self, most: int) -> Frame:
        """Receive one frame of at most `most` body bytes. Raises Gone, TooLong, Stalled or TimeoutError."""
        data = self._rest or self._read(_CHUNK)
        while len(data) < _HEADER.size:
            data += self._read(_CHUNK)
        kind, size = _HEADER.unpack_from(data)
        if size > most:
            raise TooLong
        end = _HEADER.size + size
        if len(data) < end:
            parts = [data]
            missing = end - len(data)
            while missing > 0:
                parts.append(self._read(min(missing, 1 << 20)))
                missing -= len(parts[-1])
            data = b"".join(parts)
        self._rest = data[end:]
        return kind, data[_HEADER.size : end]

    def rest(self, most: int) -> bytes:
        """All bytes until the other side is gone, as they are. Raises TooLong or TimeoutError."""
        parts, left = [self._rest], most - len(self._rest)
        self._rest = b""
        while left >= 0:
            try:
                parts.append(self._read(_CHUNK))
            except Gone:
                return b"".join(parts)
            left -= len(parts[-1])
        raise TooLong

    def fileno(self) -> int:
        """Descriptor of the socket."""
        return self._socket.fileno()

    def _read(self, most: int) -> bytes:
        self._wait(self._readable)
        try:
            data = self._socket.recv(most)
        except ConnectionResetError:
            data = b""
        if not data:
            self._look_at_clock()
            raise Gone
        return data

    def _look_at_clock(self) -> None:
        if self.deadline is not None and (late := time.monotonic() - self.deadline) > _STALL_SECONDS:
            raise Stalled(f"this machine stood still: {late:.0f} s past a deadline")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
