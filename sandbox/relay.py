"""A fork server's control socket over one stream of bytes, where no socket reaches into the container.

    client - control socket - Relay == the container's stdin, stdout == Relay - control socket - server

Both ends are the same: a control message with a job's two descriptors is taken on one side, and made anew
with two others on the other; the bytes of the job's channel pass between and are read by nobody. Inside, the
relay is PID 1, a process of its own, so that the server, which forks the jobs, has nothing of one in memory.

    message   a control message            job    the same, with which a job begins
    data      bytes of the job's channel   gone   its other end is closed
    words     the end of the job's stderr
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
from typing import Protocol

MESSAGE, JOB, DATA, GONE, WORDS = b"m", b"j", b"d", b"g", b"w"

_HEAD = struct.Struct("!cBI")  # kind, number of the job, length
_CHUNK = 1 << 16  # the longest body
_FULL = 1 << 20  # waiting for one side: the other is not read for now
_WORDS_BYTES = 2000


class Stream(Protocol):
    """Bytes to and from the other relay, neither of which wait."""

    def read(self) -> bytes | None:
        """What is there; None: nothing yet, empty: never again."""

    def write(self, data: bytes) -> int:
        """How many of these bytes went out. Raises OSError where nobody will read them."""

    def descriptors(self) -> tuple[int, int]:
        """To poll for reading and for writing."""


class Relay:
    """One end. `makes_jobs`: jobs come by the stream and get descriptors here, not the other way round."""

    def __init__(self, control: socket.socket, stream: Stream, makes_jobs: bool) -> None:
        self._control, self._stream, self._makes_jobs = control, stream, makes_jobs
        self._out, self._in = bytearray(), bytearray()  # of the stream
        self._job = 0
        self._channel: socket.socket | None = None
        self._to_channel = bytearray()
        self._last = False  # nothing follows what is in `_to_channel`
        self._words = -1

    def run(self) -> None:
        """Pass on until either side is gone."""
        try:
            while self._turn():
                pass
        except OSError:  # gone: whoever waits on the other side sees it
            return
        finally:
            self._close_channel()
            self._forget_words()
            self._control.close()

    def _turn(self) -> bool:
        """Wait for whatever can go on; false: that is the end."""
        reads, writes = self._stream.descriptors()
        full = (
            len(self._to_channel) > _FULL and not self._makes_jobs
        )  # inside, all is taken: a word must pass
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        wanted: dict[int, int] = {}
        wanted[reads] = 0 if full else select.POLLIN
        wanted[writes] = wanted.get(writes, 0) | (select.POLLOUT if self._out else 0)
        if self._channel is not None:
            more = 0 if len(self._out) > _FULL else select.POLLIN
            wanted[self._channel.fileno()] = more | (select.POLLOUT if self._to_channel else 0)
        for descriptor, events in wanted.items():
            if events:
                poll.register(descriptor, events)
        ready = dict(poll.poll())
        if self._channel is not None and (events := ready.get(self._channel.fileno(), 0)):
            self._serve_channel(events)
        if ready.get(self._control.fileno()) and not self._take_message():
            return False
        if not full and ready.get(reads, 0) & ~select.POLLOUT and not self._take_bytes():
            return False
        if self._out:
            del self._out[: self._stream.write(bytes(self._out[:_CHUNK]))]
        return True

    def _put(self, kind: bytes, body: bytes = b"") -> None:
        self._out += _HEAD.pack(kind, self._job, len(body)) + body

    # ------------------------------------------------------------------------------------ from this side

    def _take_message(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, _CHUNK, 2)
        if not message:
            return False
        if descriptors:
            channel, words = descriptors
            self._begin(socket.socket(fileno=channel), words)
            self._put(JOB, message)
            return True
        if self._makes_jobs and self._words >= 0:  # the report of a job, all of which is dead
            size = os.fstat(self._words).st_size
            self._put(WORDS, os.pread(self._words, _WORDS_BYTES, max(0, size - _WORDS_BYTES)))
            self._forget_words()
        self._put(MESSAGE, message)
        return True

    def _begin(self, channel: socket.socket, words: int) -> None:
        self._close_channel()
        self._forget_words()
        channel.setblocking(False)
        self._job = (self._job + 1) % 256
        self._channel, self._words = channel, words

    def _serve_channel(self, events: int) -> None:
        assert self._channel is not None
        if events & select.POLLOUT and self._to_channel:
            try:
                del self._to_channel[: self._channel.send(self._to_channel[:_CHUNK])]
            except BlockingIOError:
                pass
            except OSError:  # nobody will read it; what is left to be read from there is passed on below
                self._to_channel.clear()
            if self._last and not self._to_channel:
                self._close_channel()
                return
        try:
            if events & ~select.POLLOUT and len(self._out) <= _FULL:
                if data := self._channel.recv(_CHUNK):
                    self._put(DATA, data)
                    return
                raise ConnectionResetError
        except BlockingIOError:
            return
        except OSError:
            self._close_channel()
            self._put(GONE)

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._to_channel.clear()
        self._last = False

    def _forget_words(self) -> None:
        if self._words >= 0:
            os.close(self._words)
            self._words = -1

    # ------------------------------------------------------------------------------------ from the other

    def _take_bytes(self) -> bool:
        data = self._stream.read()
        if data is None:
            return True
        self._in += data
        while len(self._in) >= _HEAD.size:
            kind, job, length = _HEAD.unpack_from(self._in)
            if length > _CHUNK:
                return False  # that is no relay
            if len(self._in) < _HEAD.size + length:
                break
            body = bytes(self._in[_HEAD.size : _HEAD.size + length])
            del self._in[: _HEAD.size + length]
            self._take(kind, job, body)
        return bool(data)

    def _take(self, kind: bytes, job: int, body: bytes) -> None:
        if kind == MESSAGE:
            self._control.send(body)
        elif kind == JOB and self._makes_jobs:
            ours, theirs = socket.socketpair()
            self._begin(ours, os.memfd_create("stderr"))
            with theirs:
                socket.send_fds(self._control, [body], [theirs.fileno(), self._words])
        elif job != self._job or (self._channel is None and kind != WORDS):
            return  # of a job that is over
        elif kind == DATA:
            self._to_channel += body
        elif kind == GONE:
            if self._to_channel:
                self._last = True
            else:
                self._close_channel()
        elif kind == WORDS and not self._makes_jobs and self._words >= 0:
            os.write(self._words, body)
            self._forget_words()


class _Standard:
    """Standard input and output of this process."""

    def __init__(self) -> None:
        os.set_blocking(0, False)
        os.set_blocking(1, False)

    def read(self) -> bytes | None:
        try:
            return os.read(0, _CHUNK)
        except BlockingIOError:
            return None

    def write(self, data: bytes) -> int:
        try:
            return os.write(1, data)
        except BlockingIOError:
            return 0

    def descriptors(self) -> tuple[int, int]:
        return 0, 1


def divide(descriptor: int) -> None:
    """Become a relay, for good, and go on in a child whose `descriptor` is the control socket."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        theirs.close()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # PID 1 ignores it by default
        try:
            Relay(control, _Standard(), makes_jobs=True).run()
        finally:
            os._exit(0)  # and with PID 1 everything
    control.close()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    if theirs.fileno() != descriptor:
        os.dup2(theirs.fileno(), descriptor)
        theirs.close()
    else:
        theirs.detach()
