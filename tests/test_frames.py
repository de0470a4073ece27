"""Frames between a job's child and its client: whole or not at all, within their deadline."""

import socket
import time
from threading import Thread

import pytest

from sandbox import frames
from sandbox.frames import Channel, Gone

LARGE = b"x" * (4 << 20)  # more than a socket holds


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), Channel(theirs)


@pytest.mark.parametrize("seconds", [60, 1e9])  # poll itself waits for 24 days at the most
def test_what_does_not_fit_at_once_is_sent_as_it_is_read(ends, seconds):
    ours, theirs = ends
    ours.deadline, theirs.deadline = time.monotonic() + seconds, time.monotonic() + 60
    sender = Thread(target=ours.send, args=(frames.CASE, LARGE))
    sender.start()
    assert theirs.receive(1 << 30) == (frames.CASE, LARGE)
    sender.join()
    sender = Thread(target=theirs.send, args=(frames.ANSWER, LARGE))
    sender.start()
    assert ours.receive(1 << 30) == (frames.ANSWER, LARGE)
    sender.join()


def test_nobody_waits_beyond_the_deadline(ends):
    ours, _ = ends
    ours.deadline = time.monotonic() + 0.1
    with pytest.raises(TimeoutError):
        ours.receive(10)
    ours.deadline = time.monotonic() + 0.1
    with pytest.raises(TimeoutError):
        ours.send(frames.CASE, LARGE)


def test_who_is_gone_is_no_timeout(ends):
    ours, theirs = ends
    ours.deadline = time.monotonic() + 60
    theirs.close()
    with pytest.raises(Gone):
        ours.send(frames.CASE, LARGE)
    with pytest.raises(Gone):
        ours.receive(10)


def test_what_waits_is_not_read(ends):
    ours, theirs = ends
    assert not ours.pending(0.01)
    theirs.send(frames.LOADED)
    theirs.send(frames.CALL, b"next\0")
    assert ours.pending(60) and ours.receive(10) == (frames.LOADED, b"")
    assert ours.pending(0) and ours.receive(10) == (frames.CALL, b"next\0")
