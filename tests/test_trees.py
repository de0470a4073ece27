import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from populations.trees import check_path, commit_id, object_id, tree_id, variant_id


def git(folder: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": "evolve", f"GIT_{role}_EMAIL": "evolve@localhost"}
        environment[f"GIT_{role}_DATE"] = "1700000001 +0000"
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, check=True)
    return done.stdout.decode().strip()


def tree_by_git(folder: Path, files: dict[str, bytes]) -> str:
    git(folder, "init", "-q", ".")
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    git(folder, "add", "-A", "-f")
    return git(folder, "write-tree")


def test_the_tree_is_what_git_calls_it(tmp_path):
    files = {
        "program.py": b"print(1)\n",
        # a folder sorts as if its name ended with a slash: after "a-b", before "a0"
        "a/x": b"", "a-b": b"1", "a.b/y": b"2", "a0": b"3",
        "deep/er/est": bytes(range(256)),
        "naïve ünïcode/ß": b"4",
        '"quoted" and spaced ': b"5",
    }  # fmt: skip
    assert tree_id(files) == tree_by_git(tmp_path, files)


def test_no_files_are_the_empty_tree():
    assert tree_id({}) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_a_commit_is_what_git_calls_it(tmp_path):
    tree = tree_by_git(tmp_path, {"a": b"b"})
    root = git(tmp_path, "commit-tree", tree, "-m", "root")
    child = git(tmp_path, "commit-tree", tree, "-p", root, "-p", root, "-m", "ünder\n\nTrial: 1")
    assert commit_id(tree, [], 1_700_000_001, b"root\n") == root
    # git writes a parent once, so the ledger never passes one twice
    assert commit_id(tree, [root], 1_700_000_001, "ünder\n\nTrial: 1\n".encode()) == child


NAMES = st.text(st.sampled_from("ab.-_ é0"), min_size=1, max_size=4).filter(
    lambda name: name not in (".", "..")
)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=8), max_size=6)
)
def test_any_files_hash_as_in_git(tmp_path_factory, files):
    paths = set(files)
    clash = any(path.startswith(other + "/") for path in paths for other in paths)
    if clash:
        with pytest.raises(ValueError, match="a file and a folder"):
            tree_id(files)
    elif files:
        assert tree_id(files) == tree_by_git(tmp_path_factory.mktemp("tree"), files)


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../b", "./a", "a//b", "a/", ".git/config", "x/.GIT/hooks/y", ".git ./a",
     "GIT~1/x", ".gitmodules", ".g\u200cit/config", "a\\b", "a\0b", "line\nbreak", "\ud800", "a" * 256,
     "/".join(["abcdefgh"] * 200)],
)  # fmt: skip
def test_a_path_that_git_or_a_checkout_would_not_bear_is_refused(path):
    with pytest.raises(ValueError):
        check_path(path)
    with pytest.raises(ValueError):
        tree_id({path: b""})


@pytest.mark.parametrize(
    "path", ["a", "a b/c", ".gitignore", ".gitattributes", "..a", "a..", "ß/é.py", "git/x"]
)
def test_an_ordinary_path_passes(path):
    check_path(path)


def test_an_id_is_the_trial_and_its_tree():
    assert variant_id(17, tree_id({})) == "17-4b825d"
    assert object_id("blob", b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
