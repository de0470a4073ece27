import os
import resource
import subprocess
import sys

import pytest

from evolve.types import LedgerError
from populations import journal
from populations.journal import AHEAD_BYTES, SEGMENT_BYTES, Journal


def segments(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_synced_is_read_back_in_order(tmp_path):
    book = Journal(tmp_path)
    for number in range(5):
        book.append(b'{"event":%d}' % number)
        if number % 2:
            book.sync()
    book.close()
    assert journal.read(tmp_path) == [b'{"event":%d}' % number for number in range(4)]
    again = Journal(tmp_path)
    assert again.take() == journal.read(tmp_path)
    again.append(b"{}")
    again.sync()
    again.close()
    assert journal.read(tmp_path)[-1] == b"{}"


def test_a_torn_end_is_cut_wherever_it_is_torn(tmp_path):
    book = Journal(tmp_path)
    book.append(b"{1}")
    book.sync()
    (path,) = tmp_path.iterdir()
    whole = len(path.read_bytes().rstrip(b"\0"))
    book.append(b"{2}")
    book.append(b"{3}")
    book.sync()
    book.close()
    data = path.read_bytes()
    for end in range(whole, len(data)):
        path.write_bytes(data[:end])
        assert journal.read(tmp_path) == [b"{1}"]
        again = Journal(tmp_path)
        again.append(b"{4}")
        again.sync()
        again.close()
        assert journal.read(tmp_path) == [b"{1}", b"{4}"]


def test_blocks_of_zeros_at_the_end_are_cut(tmp_path):
    # what a file system may leave of a write that the power cut
    book = Journal(tmp_path)
    book.append(b"{1}")
    book.sync()
    book.close()
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(bytes(5000))
    assert journal.read(tmp_path) == [b"{1}"]


def test_a_journal_that_nobody_closed_is_read_without_what_was_written_ahead(tmp_path):
    book = Journal(tmp_path)
    book.append(b"{1}")
    book.sync()
    book.rotate(1, [b"{2}"])
    first, last = sorted(tmp_path.iterdir())
    assert last.stat().st_size > AHEAD_BYTES > first.stat().st_size
    with first.open("ab") as file:
        file.write(bytes(AHEAD_BYTES))  # the power went before the disk had heard of its end
    assert journal.read(tmp_path) == [b"{1}", b"{2}"]
    again = Journal(tmp_path)
    assert last.stat().st_size < AHEAD_BYTES
    again.append(b"{3}")
    again.sync()
    assert journal.read(tmp_path) == [b"{1}", b"{2}", b"{3}"]
    again.close()
    book.close()


def test_damage_before_an_intact_record_is_an_error(tmp_path):
    book = Journal(tmp_path)
    for number in range(3):
        book.append(b"{%d}" % number)
        book.sync()
    book.close()
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    for position in range(len(data) // 3 * 2 - 1):
        damaged = data.copy()
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(LedgerError, match="damaged at byte"):
            Journal(tmp_path)


def test_damage_in_a_segment_that_is_not_the_last_is_an_error(tmp_path):
    book = Journal(tmp_path)
    book.append(b"{1}")
    book.rotate(1, [])
    book.close()
    first = min(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:-2])
    with pytest.raises(LedgerError, match="000000000000"):
        journal.read(tmp_path)


def test_a_new_segment_carries_what_must_live_on(tmp_path):
    book = Journal(tmp_path)
    book.append(b"{proposal}")
    book.append(b"x" * SEGMENT_BYTES)
    assert not book.full
    book.sync()
    assert book.full
    book.rotate(7, [b"{proposal}"])
    assert not book.full
    book.drop(6)
    assert segments(tmp_path) == ["000000000000", "000000000007"]
    book.drop(7)
    assert segments(tmp_path) == ["000000000007"]
    assert journal.read(tmp_path) == [b"{proposal}"]
    book.close()
    assert journal.read(tmp_path) == [b"{proposal}"]


def test_nothing_can_be_synced_once_it_is_closed(tmp_path):
    book = Journal(tmp_path)
    book.close()
    book.close()
    book.append(b"{}")
    with pytest.raises(LedgerError, match="closed"):
        book.sync()


FULL = """
import resource, sys
from pathlib import Path
from evolve.types import LedgerError
from populations.journal import Journal
book = Journal(Path(sys.argv[1]))
synced = 0
for number in range(1000):
    book.append(b"{%d}" % number)
    try:
        book.sync()
    except LedgerError as error:
        print(synced, error)
        break
    synced += 1
try:
    book.sync()
except LedgerError:
    print("still refused")
"""


def test_a_full_disk_is_a_ledger_error_and_what_was_synced_stays(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    command = [sys.executable, "-c", FULL, str(tmp_path)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, preexec_fn=limit, capture_output=True, text=True, check=True, env=environment
    )
    lines = done.stdout.splitlines()
    count = int(lines[0].split()[0])
    assert "cannot be written: File too large" in lines[0] and lines[1] == "still refused"
    assert journal.read(tmp_path) == [b"{%d}" % number for number in range(count)] and count > 10
