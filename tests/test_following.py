"""A run that another process writes is followed by reading what is new, and nothing twice."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import story_of_a_run
from ui_runs import finished

from evolve.types import LedgerError
from evolve.ui.following import Followed, Runs
from populations.ledger import GitLedger

WRITER = Path(__file__).with_name("story_of_a_run.py")


def begin(path: Path) -> None:
    story_of_a_run.write(path, 2, 1, 0)


@pytest.mark.parametrize("flush", [0, 40], ids=["journal", "git"])
def test_all_events_come_once_and_in_order_while_they_are_written(tmp_path: Path, flush: int) -> None:
    path = tmp_path / "run.git"
    begin(path)
    seen, looks = [], 0
    writer = subprocess.Popen(
        [sys.executable, str(WRITER), str(path), "300", "3", str(flush)], stdout=subprocess.DEVNULL
    )
    with GitLedger.read(path) as ledger:
        seen += ledger.events()
        while writer.poll() is None:
            ledger.refresh()
            new = list(ledger.events(len(seen)))
            looks += bool(new)
            seen += new
            if new and new[-1].variant:  # what the newest event is about can be read at once
                assert ledger.variant(new[-1].variant).files
            time.sleep(0.01)
        ledger.refresh()
        seen += ledger.events(len(seen))
        assert writer.returncode == 0 and looks > 1
        with GitLedger.read(path) as whole:
            assert seen == list(whole.events())
            assert ledger.variants() == whole.variants() and ledger.digest() == whole.digest()
            proposal = next(event.index for event in seen if event.kind == "proposal")
            assert ledger.file(proposal, "reply.md") == whole.file(proposal, "reply.md")


def test_nothing_new_reads_nothing(tmp_path: Path) -> None:
    begin(tmp_path / "run.git")
    with GitLedger.read(tmp_path / "run.git") as ledger:
        count = len(list(ledger.events()))
        assert ledger.refresh() == count == ledger.refresh()


def test_another_run_in_its_place_is_not_taken_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "run.git"
    begin(path)
    with GitLedger.read(path) as ledger:
        assert list(ledger.events())
        shutil.rmtree(path)
        finished(path)
        with pytest.raises(LedgerError):
            ledger.refresh()


def test_a_followed_run_starts_anew_where_it_was_replaced(tmp_path: Path) -> None:
    path = finished(tmp_path / "run.git")
    run = Followed("run", path)
    before = run.look()
    assert before > 20 and run.epoch == 1 and run.trouble is None
    shutil.rmtree(path)
    assert run.look() == 0 and "git" in str(run.trouble)
    finished(path)
    assert run.look() == before and run.epoch == 2 and run.trouble is None
    run.close()


def damage(path: Path, kind: str) -> None:
    if kind == "empty":
        shutil.rmtree(path)
        GitLedger.create(path).close()
    elif kind == "half copied":
        for pack in (path / "objects").rglob("*.pack"):
            pack.chmod(0o644)
            pack.write_bytes(pack.read_bytes()[:200])
        for loose in (path / "objects").glob("??/*"):
            loose.unlink()
    elif kind == "newer":
        shutil.rmtree(path)
        with GitLedger.create(path) as ledger:
            ledger.append("start", {"schema": 1}, {"at": 1})
            ledger.sync()
        newer = '{"decision":{},"index":0,"kind":"start","measured":{},"schema":99,"variant":null}'
        rewrite_first_event(path, newer)


def rewrite_first_event(path: Path, text: str) -> None:
    def git(*words: str, given: str | None = None) -> str:
        command = ["git", f"--git-dir={path}", "-c", "user.name=x", "-c", "user.email=x@x", *words]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout.strip()

    blob = git("hash-object", "-w", "--stdin", given=text)
    tree = git("mktree", given=f"100644 blob {blob}\tevent.json\n")
    git("update-ref", "refs/heads/events", git("commit-tree", tree, "-m", "start"))
    shutil.rmtree(path / "evolve" / "journal")


@pytest.mark.parametrize(
    ("kind", "says"), [("half copied", "missing or corrupt|cannot be read|git"), ("newer", "newer evolve")]
)
def test_a_damaged_run_is_shown_for_what_it_is(tmp_path: Path, kind: str, says: str) -> None:
    path = finished(tmp_path / "run.git")
    damage(path, kind)
    run = Followed("run", path)
    run.look()
    assert run.trouble is not None
    assert re.search(says, run.trouble)
    assert run.listed()["trouble"]
    run.close()


def test_an_empty_run_waits_for_its_first_event(tmp_path: Path) -> None:
    path = finished(tmp_path / "run.git")
    damage(path, "empty")
    run = Followed("run", path)
    assert run.look() == 0 and run.trouble is None
    assert run.told()["head"]["begun"] is False
    run.close()


def test_runs_of_one_name_have_keys_of_their_own(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        begin(tmp_path / folder / "run.git")
    runs = Runs([str(tmp_path / "a" / "run.git"), str(tmp_path / "b" / "run")])
    assert [each.key for each in runs.all()] == ["run", "run~2"]
    assert runs.get("run~2").path == tmp_path / "b" / "run.git"
    assert runs.get("nobody") is None
    runs.close()
