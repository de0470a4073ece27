import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import story_of_a_run as tale

from evolve.types import LedgerError, Variant
from populations import writer
from populations.ledger import GitLedger


def git(path: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(path), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def trials(ledger: GitLedger) -> list[int]:
    return [event.decision["trial"] for event in ledger.events() if event.kind == "trial"]


def processes() -> dict[int, tuple[int, int, str]]:
    """Parent, session and command of every process that is not dead."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text().replace("\0", " ")
            if after_name[0] != "Z":
                found[int(folder.name)] = (int(after_name[1]), int(after_name[3]), command)
    return found


def git_of(path: Path, word: str) -> list[int]:
    return [pid for pid, (_, _, command) in processes().items() if str(path) in command and word in command]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


# -------------------------------------------------------------------------------------------- killed


def test_kill_at_random_moments_loses_nothing_that_was_synced(tmp_path):
    path = tmp_path / "run.git"
    rng = random.Random(5)
    written = 0
    for number in range(12):
        sync, flush = rng.choice([(1, 0), (1, 7), (3, 40), (16, 0)])
        command = [sys.executable, tale.__file__, str(path), "100000", str(sync), str(flush)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment()
        ) as child:
            first = child.stdout.readline()
            time.sleep(rng.uniform(0, 0.3))
            if number % 2:  # only the process: its git finds the end of its input
                child.kill()
            else:  # everything that it started
                for pid, (_, session, _) in processes().items():
                    if session == child.pid:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
            # what was in the pipe was told before the kill; the last line may be torn
            told = [int(line) for line in [first, *child.stdout.read().split("\n")[:-1]] if line.strip()]
        assert told, child.returncode
        with GitLedger.read(path) as ledger:
            assert len(trials(ledger)) >= told[-1]
        if number % 3 == 0:  # otherwise the next child finds it as it was left
            with GitLedger.open(path) as ledger:
                found = trials(ledger)
                assert found == list(range(len(found))) and len(found) >= told[-1] >= written
                ledger.flush()
                champion, head = ledger.champion(), ledger.head
            assert git(path, "rev-parse", "events").strip() == head
            trial = git(
                path, "log", "-1", "--format=%(trailers:key=Trial,valueonly,separator=)", "champion"
            ).strip()
            assert trial == champion.split("-")[0]
        written = told[-1]
    with GitLedger.open(path) as ledger:
        count = len(trials(ledger))
        promoted = {event.decision["promotion"] for event in ledger.events() if event.kind == "duel_close"
                    and event.decision["verdict"] == "promoted"}  # fmt: skip
    assert git(path, "tag").split() == [f"promotion/{number:04d}" for number in sorted(promoted)]
    with GitLedger.create(tmp_path / "straight.git") as straight:
        for number in range(count):
            tale.step(straight, number)
            if number % 10 == 0:
                straight.sync()
    refs = [
        git(run, "for-each-ref", "--format=%(refname) %(objectname)")
        for run in (path, tmp_path / "straight.git")
    ]
    assert refs[0] == refs[1]  # as if nothing had happened
    assert not [
        *path.rglob("*.lock"),
        *path.rglob("tmp_*"),
        *path.glob("fast_import_crash_*"),
        *path.rglob("*.keep"),
    ]
    # dangling: the input of a killed process may end within a commit, which git stores and nothing refers to
    command = ["git", "-C", str(path), "fsck", "--strict", "--no-dangling"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "run.git"
    with GitLedger.create(path) as ledger:
        for number in range(45):
            tale.step(ledger, number)
    return path


def test_refs_that_a_kill_left_behind_are_restored(run):
    refs = git(run, "for-each-ref")
    git(run, "update-ref", "refs/heads/champion", "champion~1")
    git(run, "tag", "-d", "promotion/0001")
    with GitLedger.open(run):
        pass
    assert git(run, "for-each-ref") == refs
    git(run, "update-ref", "-d", "refs/heads/champion")
    with GitLedger.open(run) as ledger:
        tale.step(ledger, 45)
    assert git(run, "rev-parse", "champion").strip() in refs


def test_leftovers_of_a_killed_git_are_removed_and_nothing_else(run):
    pack = run / "objects" / "pack"
    stale = [run / "packed-refs.lock", run / "refs" / "heads" / "events.lock", run / "fast_import_crash_77",
             pack / "tmp_pack_x", pack / "tmp_idx_y", pack / ".tmp-77-pack-x.pack"]  # fmt: skip
    for leftover in stale:
        leftover.write_text("stale")
    whose = {"pack-1.keep": "fast-import", "pack-2.keep": "mine, please"}
    for name, text in whose.items():
        (pack / name).write_text(text)
    with GitLedger.open(run) as ledger:
        tale.step(ledger, 45)
    assert not any(leftover.exists() for leftover in stale)
    assert [path.name for path in pack.glob("*.keep")] == ["pack-2.keep"]


LARGE = """
import os, sys
import story_of_a_run as tale
from evolve.types import Variant
from populations.ledger import GitLedger
ledger = GitLedger.create(sys.argv[1])
tale.step(ledger, 0)
ledger.append("lesson", tale.LESSON, files={"noise": os.urandom(24 << 20)})
ledger.sync()
print("synced", flush=True)
sys.stdin.read()
"""


def test_a_run_is_not_opened_while_the_git_of_its_killed_owner_lives(tmp_path):
    path = tmp_path / "run.git"
    with subprocess.Popen(
        [sys.executable, "-c", LARGE, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
    ) as child:  # fmt: skip
        assert child.stdout.readline() == "synced\n"
        while not (importers := git_of(path, "fast-import")):
            assert child.poll() is None
        (importer,) = importers
        while int(Path(f"/proc/{importer}/stat").read_text().rpartition(")")[2].split()[11]) < 15:
            time.sleep(0.01)  # until it compresses, and does not look at its input for a while
        child.kill()
    assert git_of(path, "fast-import") == [importer]
    with GitLedger.open(path) as ledger:
        assert git_of(path, "fast-import") == []
        assert [event.kind for event in ledger.events()] == ["start", "trial", "lesson"]


# --------------------------------------------------------------------------------------- git has failed


def test_a_killed_git_is_an_error_in_the_loop_and_nothing_is_lost(tmp_path):
    path = tmp_path / "run.git"
    ledger = GitLedger.create(path)
    tale.step(ledger, 0)
    ledger.flush()
    (importer,) = git_of(path, "fast-import")
    os.kill(importer, signal.SIGKILL)
    synced = 0
    error = ""
    for number in range(1, 10_000):
        try:
            tale.step(ledger, number)
            ledger.sync()
        except LedgerError as found:
            error = str(found)
            break
        synced = number
        time.sleep(0.001)
    assert "git stopped writing" in error and "kept in the journal" in error
    with pytest.raises(LedgerError, match="git stopped writing"):
        ledger.append("lesson", tale.LESSON)
    with pytest.raises(LedgerError, match="git stopped writing"):
        ledger.close()
    ledger.close()  # the lock is free, and once is enough
    assert git_of(path, "git") == []
    with GitLedger.open(path) as ledger:
        assert trials(ledger)[: synced + 1] == list(range(synced + 1))
        tale.step(ledger, len(trials(ledger)))
    shutil.rmtree(path / "evolve")  # all of it is in git
    with GitLedger.read(path) as ledger:
        assert trials(ledger) == list(range(len(trials(ledger)))) and len(trials(ledger)) > synced


FULL = """
import os, sys
import story_of_a_run as tale
from evolve.types import LedgerError, Variant
from populations.ledger import GitLedger
ledger = GitLedger.open(sys.argv[1])
number = 45
try:
    while True:
        # random bytes: the pack of git outgrows the limit before the journal, which has segments
        tale.trial(ledger, number, Variant(f"{number}-x", {"noise": os.urandom(300_000)}, ()))
        ledger.sync()
        print(number, flush=True)
        number += 1
except LedgerError as error:
    print(error)
try:
    ledger.close()
except LedgerError as error:
    print("closed")
"""


def test_a_full_disk_is_an_error_in_the_loop_and_nothing_is_lost(run):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (5 << 20, 5 << 20))

    done = subprocess.run(
        [sys.executable, "-c", FULL, str(run)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        env=environment(),
    )
    *numbers, error, closed = done.stdout.splitlines()
    assert "git stopped writing" in error and closed == "closed", done.stdout + done.stderr
    with GitLedger.open(run) as ledger:
        found = trials(ledger)
        assert found == list(range(len(found))) and len(found) > int(numbers[-1])
        assert len(ledger.variant(f"{numbers[-1]}-x").files["noise"]) == 300_000


def test_git_not_installed_is_said(tmp_path):
    code = "import sys; from populations.ledger import GitLedger; GitLedger.open_or_create(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run.git")],
        env={**environment(), "PATH": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert "LedgerError: git is not installed" in done.stderr


# ---------------------------------------------------------------------------------------- while it runs


def test_git_is_restarted_and_packs_are_joined_while_the_loop_runs(tmp_path):
    path = tmp_path / "run.git"
    seen = set()
    with GitLedger.create(path) as ledger:
        tale.start(ledger)
        for number in range(3 * writer.RESTART_EVENTS):
            parents = (f"{number // 2}-x",) if number else ()
            tale.trial(ledger, number, Variant(f"{number}-x", {"program.py": b"x = %d\n" % number}, parents))
            if number % 10 == 0:
                ledger.sync()
            if number % 400 == 0:
                seen |= set(git_of(path, "fast-import"))
                old = number // 3  # packs are joined and removed under a reader
                assert ledger.variant(f"{old}-x").files == {"program.py": b"x = %d\n" % old}
        ledger.flush()
        assert len(seen) >= 2  # how often depends on how fast it keeps up; once it must be
        deadline = time.monotonic() + 300  # joining them is behind where the machine is busy
        while len(list((path / "objects" / "pack").glob("*.pack"))) >= 12:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert len(list((path / "objects" / "pack").glob("*.pack"))) <= writer.FEW_PACKS
    assert git_of(path, "git") == []
    assert int(git(path, "rev-list", "--count", "--all")) == 2 * 3 * writer.RESTART_EVENTS + 1


def test_what_is_synced_is_soon_in_git_without_another_call(tmp_path):
    path = tmp_path / "run.git"
    with GitLedger.create(path) as ledger:
        tale.step(ledger, 0)
        ledger.sync()
        deadline = time.monotonic() + 300
        while not (path / "refs" / "heads" / "events").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while not ledger.head:
            assert time.monotonic() < deadline
        assert git(path, "rev-parse", "events").strip() == ledger.head
