import os
import subprocess
import sys

import pytest
import story_of_a_run as tale

from evolve.types import BadInput, Variant
from populations import lineage
from populations.ledger import GitLedger


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("lineage") / "run.git"
    programs = {
        "0-s": b"a = 1\nb = 2\nc = 3\n",
        "1-a": b"a = 10\nb = 2\nc = 3\n",
        "2-b": b"a = 1\nb = 2\nc = 30\n",
        "3-x": b"a = 10\nb = 2\nc = 30\nd = '\xff'\n",
    }
    parents = {"1-a": ("0-s",), "2-b": ("0-s",), "3-x": ("1-a", "2-b")}
    with GitLedger.create(path) as ledger:
        tale.start(ledger)
        for number, (id, program) in enumerate(programs.items()):
            files = {"lib/program.py": program, "same.py": b"pass\n"}
            tale.trial(ledger, number, Variant(id, files, parents.get(id, ()), "diff", f"idea {id}"))
    return path


def test_every_line_is_blamed_on_the_variant_that_brought_it(run):
    found = lineage.blame(run, "3-x", "lib/program.py")
    assert found == [("1-a", "a = 10"), ("0-s", "b = 2"), ("2-b", "c = 30"), ("3-x", "d = '\ufffd'")]
    with GitLedger.read(run) as ledger:  # an open one serves as well, and stays open
        assert lineage.blame(ledger, "0-s", "same.py") == [("0-s", "pass")]
        assert ledger.champion() == "0-s"


def test_a_git_dir_around_us_does_not_count(run):
    code = """
import sys
from populations.lineage import blame
print(blame(sys.argv[1], "2-b", "lib/program.py"))
"""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "GIT_DIR": "/nowhere",
    }  # as within a hook
    command = [sys.executable, "-c", code, str(run)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[('0-s', 'a = 1'), ('0-s', 'b = 2'), ('2-b', 'c = 30')]\n"


def test_a_diff_shows_what_changed(run):
    text = lineage.diff(run, "0-s", "1-a")
    assert [line for line in text.splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")] == [
        "-a = 1", "+a = 10",
    ]  # fmt: skip
    assert "b/lib/program.py" in text and "same.py" not in text
    assert "\ufffd" in lineage.diff(run, "0-s", "3-x")
    assert lineage.diff(run, "2-b", "2-b") == ""


def test_ancestors_come_before_their_children(run):
    found = lineage.ancestors(run, "3-x")
    assert (found[0], found[-1], set(found)) == ("0-s", "3-x", {"0-s", "1-a", "2-b", "3-x"})
    assert lineage.ancestors(run, "0-s") == ["0-s"]


def test_what_is_not_there_is_bad_input(run):
    for ask in (
        lambda: lineage.diff(run, "0-s", "9-z"),
        lambda: lineage.blame(run, "0-s", "program.py"),
        lambda: lineage.ancestors(run, "HEAD"),
        lambda: lineage.diff(run.parent, "0-s", "0-s"),
    ):
        with pytest.raises(BadInput):
            ask()
