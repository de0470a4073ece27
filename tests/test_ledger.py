import itertools
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import story_of_a_run as tale

from evolve.types import BadInput, Exchange, Failure, LedgerError, Proposal, Variant
from populations.ledger import GitLedger
from populations.trees import tree_id, variant_id


def git(path: Path, *arguments: str, **options) -> str:
    done = subprocess.run(["git", "-C", str(path), *arguments], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fsck(path: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(path), "fsck", "--strict", "--full"], capture_output=True, text=True
    )
    return done.stdout + done.stderr + ("" if done.returncode == 0 else "failed")


@pytest.fixture
def run(tmp_path):
    """A finished run of 65 trials: promotions at 20 and 40, one undone at 60."""
    path = tmp_path / "run.git"
    with GitLedger.create(path) as ledger:
        for number in range(65):
            tale.step(ledger, number)
            ledger.sync()
    return path


# ---------------------------------------------------------------------------------------- what is kept


def test_events_come_back_as_they_were_told(tmp_path):
    path = tmp_path / "run.git"
    with GitLedger.create(path) as ledger:
        told = [tale.start(ledger), tale.trial(ledger, 0), tale.trial(ledger, 1)]
        # tuples and numbers as names become what JSON has, at once and not only after reopening
        decision = {**tale.LESSON, "pair": (1, 2), "text": "é\ud800\n"}
        told.append(ledger.append("lesson", decision, {"by": {3: math.pi}}))
        assert told[-1].decision == {**decision, "pair": [1, 2]}
        assert told[-1].measured == {"by": {"3": math.pi}}
        ledger.sync()
        assert list(ledger.events()) == told
        digest = ledger.digest()
    with GitLedger.open(path) as ledger:
        assert list(ledger.events()) == told
        assert [ledger.event(event.index) for event in told] == told
        assert ledger.digest() == digest
    assert fsck(path) == ""


def test_an_event_that_json_cannot_hold_is_refused_and_leaves_no_trace(tmp_path):
    with GitLedger.create(tmp_path / "run.git") as ledger:
        tale.start(ledger)
        for measured in ({"score": math.nan}, {"score": math.inf}):
            with pytest.raises(ValueError):
                ledger.append("lesson", tale.LESSON, measured)
        with pytest.raises(LedgerError, match=r"escape"):
            ledger.append("lesson", tale.LESSON, files={"../escape": b""})
        with pytest.raises(LedgerError, match=r"event\.json"):
            ledger.append("lesson", tale.LESSON, files={"event.json": b""})
        with pytest.raises(LedgerError, match="no variant 7-abcdef"):
            ledger.append("lesson", tale.LESSON, variant="7-abcdef")
        chosen = {"promotion": 1, "duel": None, "variant": "7-abcdef", "champion": "0", "n": 1}
        with pytest.raises(LedgerError, match="no variant 7-abcdef"):
            ledger.append("promotion", chosen, {})
        with pytest.raises(LedgerError, match="begins with its start"):
            tale.start(ledger)
        assert ledger.append("lesson", tale.LESSON).index == 1
    with (
        GitLedger.create(tmp_path / "other.git") as ledger,
        pytest.raises(LedgerError, match="begins with its start"),
    ):
        ledger.append("lesson", tale.LESSON)


def test_a_variant_is_stored_once_and_knows_its_parents(tmp_path):
    with GitLedger.create(tmp_path / "run.git") as ledger:
        tale.start(ledger)
        tale.trial(ledger, 0)
        with pytest.raises(LedgerError, match="exists already"):
            tale.trial(ledger, 0)
        with pytest.raises(LedgerError, match=f"no variant {tale.variant(1).id}"):
            tale.trial(ledger, 2)  # a child of 1
        tale.trial(ledger, 1)


def test_a_variant_comes_back_from_memory_and_from_git(run):
    strange = {"with space": b"", 'a "quote"': b"1", "ünï/cödé": bytes(range(256)), "deep/er/and": b"x"}
    child = Variant(
        variant_id(99, tree_id(strange)), strange, (tale.variant(3).id, tale.variant(4).id), "crossover"
    )
    with GitLedger.open(run) as ledger:
        tale.trial(ledger, 99, child)
        assert ledger.variant(child.id) == child
        ledger.sync()
        assert ledger.variant(child.id) == child
        ledger.flush()
        assert ledger.variant(child.id) == child
    with GitLedger.read(run) as ledger:
        found = ledger.variant(child.id)
        assert (found.files, found.id) == (child.files, child.id)
        assert [ledger.variant(tale.variant(number).id) for number in range(20)] == list(
            map(tale.variant, range(20))
        )
        with pytest.raises(LedgerError, match="no variant 5-000000"):
            ledger.variant("5-000000")
    assert fsck(run) == ""


def test_files_of_events(run):
    with GitLedger.open(run) as ledger:
        assert ledger.file(0, "problem/problem.toml") == b'name = "story"\n'
        assert ledger.files(0) == {
            "problem/problem.toml": b'name = "story"\n',
            "problem/deep/a folder/data": bytes(range(256)),
        }
        last = ledger.append("lesson", tale.LESSON, files={"picture.svg": b"<svg/>"}).index
        for _ in range(2):  # in memory, then in git
            assert ledger.file(last, "picture.svg") == b"<svg/>" and ledger.files(last) == {
                "picture.svg": b"<svg/>"
            }
            assert json.loads(ledger.file(last, "event.json"))["kind"] == "lesson"
            for name in ("reply.md", "picture.svg\nHEAD", ""):
                with pytest.raises(LedgerError, match="has no file"):
                    ledger.file(last, name)
            ledger.flush()
        with pytest.raises(LedgerError, match="has no file"):
            ledger.file(0, "problem")  # a folder
        with pytest.raises(LedgerError, match="has no event"):
            ledger.file(last + 1, "event.json")


def test_events_appended_while_reading_are_read_too(run):
    with GitLedger.open(run) as ledger:
        seen = 0
        for event in ledger.events():
            assert event.index == seen
            seen += 1
            if seen % 10 == 0 and seen < 200:
                for number in range(seen, seen + 20):
                    tale.trial(ledger, 1000 + number, Variant(f"{seen}-{number}", {}, ()))
                if seen % 30 == 0:
                    ledger.flush()
        assert seen == sum(1 for _ in ledger.events()) > 400


# ------------------------------------------------------------------------------------------- proposals


def proposals(ledger: GitLedger) -> None:
    exchanges = (
        Exchange("a/model", "prompt\n", "reply \ud800", 0.25, 100, 20, 1.5, {"temperature": 0.7}),
        Exchange("b", "again", "better", 0.5),
    )
    ledger.propose(tale.decision(5, "rewrite"), Proposal(tale.program(5), "paid", exchanges=exchanges))
    ledger.propose(
        tale.decision(3), Proposal({"x": b"\xff", "y": "é".encode()}, "free", details={"at": [1, 2]})
    )
    ledger.propose(tale.decision(4), Proposal(None, "none", Failure("no_child", "nothing to change")))
    ledger.propose(
        tale.decision(6, "rewrite"), Proposal(None, "", Failure("model", "silly"), {}, exchanges[1:])
    )


def check_proposals(ledger: GitLedger) -> None:
    found = ledger.pending()
    assert [decision["trial"] for decision, _ in found] == [3, 4, 5, 6]
    free, none, paid, failed = (proposal for _, proposal in found)
    assert free == Proposal({"x": b"\xff", "y": "é".encode()}, "free", None, {"at": [1, 2]})
    assert none == Proposal(None, "none", Failure("no_child", "nothing to change"))
    assert paid.files == tale.program(5) and paid.usd == 0.75 and paid.idea == "paid"
    assert paid.exchanges[0].reply == "reply \\ud800" and paid.exchanges[0].parameters == {"temperature": 0.7}
    assert failed.files is None and failed.failure == Failure("model", "silly") and failed.usd == 0.5
    assert (
        found[0][0]["tree"] == tree_id({"x": b"\xff", "y": "é".encode()})
        and found[0][0]["operator"] == "syntax"
    )


def test_proposals_wait_for_their_trial_through_every_way_of_stopping(tmp_path):
    path = tmp_path / "run.git"
    with GitLedger.create(path) as ledger:
        for number in range(3):
            tale.step(ledger, number)
        proposals(ledger)
        ledger.sync()
        check_proposals(ledger)
        shutil.copytree(path, tmp_path / "killed.git")  # what a kill leaves
    for copy in ("killed.git", "run.git"):
        with GitLedger.read(tmp_path / copy) as reader:
            check_proposals(reader)
        with GitLedger.open(tmp_path / copy) as ledger:
            check_proposals(ledger)
            tale.trial(ledger, 3, Variant("3-x", {}, ()))
            tale.trial(ledger, 5, Variant("5-x", {}, ()))
            assert [decision["trial"] for decision, _ in ledger.pending()] == [4, 6]
        with GitLedger.open(tmp_path / copy) as ledger:
            assert [decision["trial"] for decision, _ in ledger.pending()] == [4, 6]
            kinds = [(event.kind, event.decision.get("trial")) for event in ledger.events()]
            assert kinds.count(("proposal", 5)) == 1 and ("proposal", 3) not in kinds


def test_a_free_proposal_outlives_the_segments_of_the_journal(tmp_path):
    path = tmp_path / "run.git"
    noise = os.urandom(1 << 20)
    with GitLedger.create(path) as ledger:
        tale.start(ledger)
        ledger.propose(tale.decision(500), Proposal({"x": b"waits"}, "patient"))
        for number in range(14):
            files = {"blob": noise[number:] + noise[:number]}
            tale.trial(ledger, number, Variant(f"{number}-x", files, ()))
            ledger.sync()
            if number % 5 == 4:
                ledger.flush()
        ledger.sync()
        sizes = [segment.stat().st_size for segment in (path / "evolve" / "journal").iterdir()]
        assert sum(sizes) < 12 << 20
        shutil.copytree(path, tmp_path / "killed.git")
    for copy in ("killed.git", "run.git"):
        with GitLedger.open(tmp_path / copy) as ledger:
            ((decision, proposal),) = ledger.pending()
            assert decision["trial"] == 500 and proposal.files == {"x": b"waits"}
            assert ledger.variant("13-x").files["blob"] == noise[13:] + noise[:13]
    assert sum(segment.stat().st_size for segment in (path / "evolve" / "journal").iterdir()) < 1000


# ------------------------------------------------------------------------------------- what git shows


def test_what_people_see_in_git(run):
    assert fsck(run) == ""
    names = git(run, "for-each-ref", "--format=%(refname) %(objecttype)").split("\n")[:-1]
    assert names == [
        "refs/heads/champion commit", "refs/heads/events commit",
        "refs/tags/promotion/0001 tag", "refs/tags/promotion/0002 tag",
    ]  # fmt: skip
    assert git(run, "symbolic-ref", "HEAD") == "refs/heads/champion\n"
    # 40 was restored when 60 was undone; its lineage and nothing else
    lineage = git(run, "log", "--format=%(trailers:key=Trial,valueonly,separator=)", "champion").split()
    assert set(lineage) == {"40", "39", "20", "19", "10", "9", "5", "4", "2", "1", "0"} and lineage[0] == "40"
    message = git(run, "log", "-1", "--format=%B", "champion")
    assert message.splitlines()[0].endswith("syntax: idea 40: a newline") and "Operator: syntax\n" in message
    assert git(run, "log", "-1", "--format=%an <%ae> %cn <%ce>", "champion") == (
        "evolve <evolve@localhost> evolve <evolve@localhost>\n"
    )
    tag = git(run, "cat-file", "-p", "promotion/0002")
    assert (
        "Pairs: 24" in tag and "E-value: exp(5.5) = 244.7" in tag and "Duel-Gain-Interval: [0.05, 0.2]" in tag
    )
    assert git(run, "rev-parse", "promotion/0002^{commit}") == git(run, "rev-parse", "champion")
    assert git(run, "ls-tree", "-r", "--name-only", "champion").split() == ["lib/table.bin", "program.py"]
    story = git(run, "log", "--first-parent", "--reverse", "--format=%s %ct", "events").splitlines()
    assert story[0] == "start 1700000000" and story[1].endswith(" 1700000001") and "trial 0: " in story[1]
    assert any("promotion 3 undone" in line for line in story)
    paid = git(run, "log", "--first-parent", "--format=%H", "--grep=^proposal 3:", "events").strip()
    assert git(run, "ls-tree", "-r", "--name-only", paid).split() == [
        "event.json", "program/lib/table.bin", "program/program.py", "prompt.md", "reply.md",
    ]  # fmt: skip


def test_the_branch_of_events_alone_keeps_every_variant(run, tmp_path):
    git(
        tmp_path,
        "clone",
        "-q",
        "--bare",
        "--single-branch",
        "--branch",
        "events",
        "--no-tags",
        str(run),
        "one.git",
    )
    assert git(tmp_path / "one.git", "for-each-ref", "--format=%(refname)") == "refs/heads/events\n"
    with GitLedger.read(tmp_path / "one.git") as ledger:
        assert [ledger.variant(id).id for id in ledger.variants()] == [tale.variant(n).id for n in range(65)]


def test_a_plain_clone_is_the_champion_and_can_be_read(run, tmp_path):
    git(tmp_path, "clone", "-q", str(run), "clone")
    assert (tmp_path / "clone" / "program.py").read_bytes() == tale.program(40)["program.py"]
    with GitLedger.read(tmp_path / "clone") as clone, GitLedger.read(run) as original:
        assert list(clone.events()) == list(original.events())
        assert clone.head == original.head and clone.champion() == original.champion() == tale.variant(40).id
        assert clone.variant(tale.variant(7).id) == tale.variant(7)
        with pytest.raises(LedgerError, match="not open for writing"):
            clone.append("lesson", tale.LESSON)
    with pytest.raises(BadInput, match="--mirror"):
        GitLedger.open(tmp_path / "clone")


def test_a_mirror_can_be_gone_on_with(run, tmp_path):
    git(tmp_path, "clone", "-q", "--mirror", str(run), "mirror.git")
    with GitLedger.open_or_create(tmp_path / "mirror.git") as ledger:
        tale.step(ledger, 65)
    with GitLedger.open(run) as ledger:
        tale.step(ledger, 65)
        ledger.flush()
        head = ledger.head
    assert git(tmp_path / "mirror.git", "rev-parse", "events").strip() == head
    assert fsck(tmp_path / "mirror.git") == ""


def test_the_same_events_have_the_same_hashes_however_they_were_cut(tmp_path):
    heads = set()
    for name, every in (("a.git", 1), ("b.git", 7), ("c.git", 10**6)):
        with GitLedger.create(tmp_path / name) as ledger:
            for number in range(65):
                tale.step(ledger, number)
                if number % every == 0:
                    ledger.sync()
                if number % 25 == every % 25:
                    ledger.flush()
            ledger.flush()
            heads.add((ledger.head, ledger.digest()))
        refs = git(tmp_path / name, "for-each-ref", "--format=%(refname) %(objectname)")
        heads.add(refs)
    assert len(heads) == 2


def test_the_user_s_git_settings_do_not_matter(tmp_path):
    evil = tmp_path / "evil"
    evil.write_text("#!/bin/sh\nexit 1\n")
    evil.chmod(0o755)
    (tmp_path / "hooks").mkdir()
    for name in ("reference-transaction", "post-update"):
        shutil.copy(evil, tmp_path / "hooks" / name)
    (tmp_path / ".gitconfig").write_text(
        f"[core]\n hooksPath = {tmp_path}/hooks\n[init]\n defaultObjectFormat = sha256\n"
        "[user]\n useConfigOnly = true\n"
        "[transfer]\n fsckObjects = nonsense\n[i18n]\n commitEncoding = latin1\n"
    )
    environment = {
        **os.environ, "HOME": str(tmp_path), "GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere",
        "GIT_OBJECT_DIRECTORY": "/nowhere", "GIT_DEFAULT_HASH": "sha256", "GIT_AUTHOR_NAME": "x",
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": f"{tmp_path}/hooks",
    }  # fmt: skip
    command = [sys.executable, tale.__file__, str(tmp_path / "run.git"), "65", "1", "30"]
    path = os.pathsep.join([*sys.path])
    subprocess.run(
        command, env={**environment, "PYTHONPATH": path}, check=True, capture_output=True, text=True
    )
    with GitLedger.create(tmp_path / "plain.git") as ledger:
        for number in range(66):
            tale.step(ledger, number)
    with GitLedger.read(tmp_path / "run.git") as strange, GitLedger.read(tmp_path / "plain.git") as plain:
        assert strange.head == plain.head != ""


# --------------------------------------------------------------------------- several processes at once


HOLD = """
import sys
from populations.ledger import GitLedger
with GitLedger.open_or_create(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_told_who_has_the_run(run):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "open\n"
        for way in (GitLedger.open, GitLedger.open_or_create, GitLedger.create):
            with pytest.raises(BadInput, match=f"in use by process {holder.pid}"):
                way(run)
        with GitLedger.read(run) as ledger:
            assert trials(ledger) == list(range(65))
        holder.kill()
    with GitLedger.open(run) as ledger:
        with pytest.raises(BadInput, match=f"in use by process {os.getpid()}"):
            GitLedger.open(run)
        assert trials(ledger) == list(range(65))
    ledger.close()  # once more does nothing


def trials(ledger: GitLedger) -> list[int]:
    return [event.decision["trial"] for event in ledger.events() if event.kind == "trial"]


def test_a_reader_sees_what_was_synced_while_another_process_writes(tmp_path):
    path = tmp_path / "run.git"
    command = [sys.executable, tale.__file__, str(path), "3000", "5", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment()) as child:
        for _ in range(10):
            # what its sync has returned for must be seen by who opens the run after
            synced = int(child.stdout.readline())
            with GitLedger.read(path) as ledger:
                found = trials(ledger)
                assert found == list(range(len(found))) and len(found) >= synced
                assert ledger.variant(tale.variant(synced - 1).id) == tale.variant(synced - 1)
        child.kill()


def child_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


# --------------------------------------------------------------------------- half made, damaged, newer


def test_a_run_half_made_is_completed(tmp_path):
    GitLedger.create(tmp_path / "whole.git").close()
    for number in range(5):
        path = tmp_path / f"{number}.git"
        path.mkdir()
        # as far as `initialise` may have come
        if number >= 1:
            (path / "evolve").mkdir()
            (path / "evolve" / "lock").touch()
        if number >= 2:
            (path / "objects" / "pack").mkdir(parents=True)
        if number >= 3:
            (path / "config").touch()
        if number >= 4:
            (path / "evolve" / "HEAD").write_text("ref: ")
        with GitLedger.open_or_create(path) as ledger:
            for trial in range(3):
                tale.step(ledger, trial)
        assert (
            fsck(path) == ""
            and (path / "config").read_text() == (tmp_path / "whole.git" / "config").read_text()
        )
    with GitLedger.open(tmp_path / "whole.git") as ledger:
        assert list(ledger.events()) == [] and ledger.head == "" and ledger.champion() is None
        assert list(ledger.pending()) == []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, run):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    (tmp_path / "file").write_text("precious")
    git(tmp_path, "init", "-q", "--bare", "theirs.git")
    for name in ("mine", "file", "theirs.git"):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(BadInput):
            GitLedger.open_or_create(tmp_path / name)
        assert sorted(tmp_path.rglob("*")) == before
    for name in ("mine", "file", "nothing"):
        for way in (GitLedger.open, GitLedger.read):
            with pytest.raises(BadInput):
                way(tmp_path / name)
    with pytest.raises(LedgerError, match="exists already"):
        GitLedger.create(run)
    with pytest.raises(LedgerError, match="cannot be opened: Not a directory"):
        GitLedger.create(tmp_path / "file" / "run.git")


def forge(run: Path, text: str) -> None:
    """Put another event on the branch, as anybody with git can."""
    blob = git(run, "hash-object", "-w", "--stdin", input=text).strip()
    tree = git(run, "mktree", input=f"100644 blob {blob}\tevent.json\n").strip()
    identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
    commit = git(run, *identity, "commit-tree", tree, "-p", "events", "-m", "forged").strip()
    git(run, "update-ref", "refs/heads/events", commit)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "newer evolve .schema 2"),
        ({"index": 7}, "found event 7"),
        ({"kind": "trial"}, "is not complete"),
        ({"decision": None}, "is not complete|cannot be read"),
    ],
)
def test_an_event_that_cannot_be_understood_is_an_error(run, change, message):
    with GitLedger.read(run) as ledger:
        count = sum(1 for _ in ledger.events())
    event = {
        "schema": 1,
        "index": count,
        "kind": "trial",
        "decision": {},
        "measured": {},
        "variant": None,
        **change,
    }
    forge(run, json.dumps(event))
    with GitLedger.read(run) as ledger, pytest.raises(LedgerError, match=message):
        list(ledger.events())
    forge(run, "not JSON")
    with GitLedger.read(run) as ledger, pytest.raises(LedgerError, match=message):
        ledger.digest()


def loosen(run: Path) -> None:
    packs = run.parent / "packs"
    (run / "objects" / "pack").rename(packs)
    (run / "objects" / "pack").mkdir()
    for pack in packs.glob("*.pack"):
        with pack.open("rb") as file:
            subprocess.run(["git", "-C", str(run), "unpack-objects", "-q"], stdin=file, check=True)


def test_a_missing_or_corrupt_object_is_named(run):
    loosen(run)
    blob = git(run, "rev-parse", "events~10:event.json").strip()
    commit = git(run, "rev-parse", "events~10").strip()
    loose = run / "objects" / blob[:2] / blob[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"damaged")
    with (
        GitLedger.read(run) as ledger,
        pytest.raises(LedgerError, match=f"{commit}:event.json (is missing|cannot be read)"),
    ):
        list(ledger.events())
    loose.unlink()
    with GitLedger.open(run) as ledger:
        with pytest.raises(LedgerError, match=f"{commit}:event.json (is missing|cannot be read)"):
            ledger.champion()
        with pytest.raises(LedgerError):
            ledger.close()
    loose = run / "objects" / commit[:2] / commit[2:]
    loose.unlink()
    with pytest.raises(LedgerError, match=commit):
        GitLedger.read(run)


def test_a_gap_between_git_and_the_journal_is_an_error(tmp_path):
    path = tmp_path / "run.git"
    with GitLedger.create(path) as ledger:
        for number in range(5):
            tale.step(ledger, number)
        ledger.flush()
        tale.step(ledger, 5)
        ledger.sync()
        shutil.copytree(path, tmp_path / "copy.git")
    git(tmp_path / "copy.git", "update-ref", "refs/heads/events", "events~2")
    (segment,) = (tmp_path / "copy.git" / "evolve" / "journal").iterdir()
    with GitLedger.open(tmp_path / "copy.git") as ledger:  # the journal has them still
        assert trials(ledger) == list(range(6))
    git(tmp_path / "copy.git", "update-ref", "refs/heads/events", "events~3")
    segment.unlink(missing_ok=True)
    last = sorted((tmp_path / "copy.git" / "evolve" / "journal").iterdir())[-1]
    with GitLedger.open(path) as ledger:
        tale.step(ledger, 6)
        ledger.sync()
        shutil.copy(min((path / "evolve" / "journal").iterdir()), last)
    with pytest.raises(LedgerError, match="neither in git nor in the journal"):
        GitLedger.open(tmp_path / "copy.git")


# ----------------------------------------------------------------------------------------------- size


def test_twenty_thousand_variants(tmp_path):
    path = tmp_path / "run.git"
    count = 20_000
    rows = [f"    weight_{i} = {i}" for i in range(60)]
    ids: list[str] = []
    marks = []
    ledger = GitLedger.create(path)
    tale.start(ledger)
    for number in range(count):
        rows[number % 60] = f"    weight_{number % 60} = {number}"
        files = {"program.py": "\n".join(rows).encode()}
        child = Variant(f"{number}-{number:06x}", files, tuple(ids[-50:][:1]), "syntax")
        ids.append(child.id)
        chosen = {"trial": number, "told": number, "operator": "syntax", "parents": list(child.parents)}
        scores = {"scores": [number / 7, number / 11, number / 13, number / 17]}
        ledger.append("trial", {**chosen, "variant": child.id, "verdict": "evaluated"}, scores, variant=child)
        if number % 16 == 0:
            ledger.sync()
        if number % 4000 == 0:
            marks.append(time.process_time())
    ledger.close()
    marks.append(time.process_time())
    steps = [after - before for before, after in itertools.pairwise(marks)]
    assert min(steps[-2:]) < 2 * max(
        steps[:2]
    )  # no step is dearer for those before it; benchmarks/ledger.py has the figure
    assert sum(file.lstat().st_blocks * 512 for file in path.rglob("*")) < count * 1200  # four scores, not 64
    assert len(list((path / "objects" / "pack").glob("*.pack"))) < 8
    with GitLedger.open(path) as ledger:
        assert trials(ledger) == list(range(count))
        assert ledger.variant("0-000000").files["program.py"].startswith(b"    weight_0 = 0\n")
        assert ledger.variant("19999-004e1f").files["program.py"] == files["program.py"]
    assert fsck(path) == ""


BIG = """
import resource, sys
import story_of_a_run as tale
from evolve.types import Variant
from populations.ledger import GitLedger
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
with GitLedger.create(sys.argv[1]) as ledger:
    tale.start(ledger)
    line = "x = " + "0" * 1000 + "\\n"
    for number in range(1000):
        files = {"program.py": (f"# {number}\\n" + line * 200).encode()}
        tale.trial(ledger, number, Variant(f"{number}-x", files, (f"{number - 1}-x",) if number else ()))
        ledger.sync()
        if number == 300:
            before = peak()
print(before, peak())
"""


def test_memory_does_not_grow_with_the_programs(tmp_path):
    command = [sys.executable, "-c", BIG, str(tmp_path / "run.git")]
    done = subprocess.run(command, env=child_environment(), check=True, capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    assert after - before < 60, (before, after)  # MiB; 700 programs of 200 KB passed by meanwhile
