"""What people do with a run's repository: compare variants, ask who brought a line. By GitPython.

`run` is the path of a run or of a clone, or an open ledger, which saves reading the events again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import git

from evolve.types import BadInput, LedgerError
from populations import repository
from populations.ledger import GitLedger

_HUNK = re.compile(rb"[0-9a-f]{40} \d+ \d+")  # before the first line of each stretch, and other headers


def diff(run: GitLedger | Path | str, a: str, b: str) -> str:
    """What changed in the programs from variant `a` to variant `b`, as a unified diff."""
    with _open(run) as (ledger, repo):
        commits = [_commit(ledger, repo, id) for id in (a, b)]
        # as bytes, for a program may hold any; nothing of the user's settings may colour or translate them
        options = ("--no-color", "--no-ext-diff", "--no-textconv")
        text: bytes = repo.git.diff(
            *options, *commits, "--", stdout_as_string=False, strip_newline_in_stdout=False
        )
        return text.decode(errors="replace")


def blame(run: GitLedger | Path | str, variant: str, file: str) -> list[tuple[str, str]]:
    """For each line of a variant's file: the id of the variant that brought it, and the line."""
    with _open(run) as (ledger, repo):
        if file not in ledger.variant(variant).files:
            raise BadInput("FILE", f"one of {', '.join(ledger.variant(variant).files)}", file)
        ids = _ids(ledger)
        commit = _commit(ledger, repo, variant)
        # GitPython's own reading of this output trips over lines that are not UTF-8
        output: bytes = repo.git.blame("--porcelain", commit, "--", file, stdout_as_string=False)
        rows: list[tuple[str, str]] = []
        for row in output.split(b"\n"):
            if row.startswith(b"\t"):
                rows.append((ids[commit], row[1:].decode(errors="replace")))
            elif _HUNK.match(row):
                commit = row[:40].decode()
        return rows


def ancestors(run: GitLedger | Path | str, variant: str) -> list[str]:
    """Ids of all variants that a variant comes from, parents before children, itself last."""
    with _open(run) as (ledger, repo):
        ids = _ids(ledger)
        commits = repo.iter_commits(_commit(ledger, repo, variant), topo_order=True, reverse=True)
        return [ids[commit.hexsha] for commit in commits]


@contextmanager
def _open(run: GitLedger | Path | str) -> Iterator[tuple[GitLedger, git.Repo]]:
    ledger = run if isinstance(run, GitLedger) else GitLedger.read(run)
    git_dir = repository.locate(ledger.path)
    repo = git.Repo(git_dir)
    # named on the command line, so that a GIT_DIR around us does not count
    repo.git.set_persistent_git_options(git_dir=str(git_dir.absolute()))
    repo.git.update_environment(
        GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL=os.devnull, GIT_NO_REPLACE_OBJECTS="1"
    )
    try:
        yield ledger, repo
    except git.GitCommandError as error:
        raise LedgerError(f"run {ledger.path}: {error.stderr.strip() or error}") from error
    finally:
        repo.close()
        if ledger is not run:
            ledger.close()


def _commit(ledger: GitLedger, repo: git.Repo, id: str) -> str:
    commit = ledger.variants().get(id)
    if commit is None:
        raise BadInput("VARIANT", "the id of a variant of this run", id)
    try:
        return repo.commit(commit).hexsha
    except ValueError as error:  # the journal of a run at work has it already
        raise LedgerError(
            f"run {ledger.path}: variant {id} is not in git yet; try again in a second"
        ) from error


def _ids(ledger: GitLedger) -> dict[str, str]:
    return {commit: id for id, commit in ledger.variants().items()}
