"""Runs that meet in a bare repository: each pushes its elites to a branch of its own, and fetches the others.

No lock and no server but git. A branch's tip holds `elites.json`, and its parents are the elites' commits, so
that their whole lineage comes along. Of what others pushed nothing is trusted but that bytes have the hash
that names them: sizes and paths are checked before anything is read, a score only says whom to ask in first.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from evolve.types import BadInput, Files, Json, LedgerError
from populations import story
from populations.reader import Reader
from populations.trees import tree_id

SCHEMA = 1
BRANCHES = "refs/heads/elites"
MOST_BRANCHES, MOST_ELITES = 1000, 16  # read of a meeting place, and of a run
MOST_CARD_BYTES = 1 << 16
MOST_FILES, MOST_BYTES = 256, 4 << 20  # of one immigrant's program
MOST_ANCESTORS = 64  # named with it
GIT_SECONDS = 60.0  # for one push or fetch

_HASH = re.compile(r"[0-9a-f]{40}")
_NAME = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True, slots=True)
class Elite:
    """A variant that a run shows to others."""

    variant: str
    commit: str
    score: float  # raw


class Immigrant(NamedTuple):
    """A program of another run. All but `files` is a claim of that run, in the form of names and a number."""

    run: str  # hash of its first event
    head: str  # of its events when it pushed
    variant: str
    commit: str
    score: float
    ancestry: tuple[str, ...]  # commits by first parents, its own first
    files: Files


class Meeting:
    """One run's way to a meeting place. Its copy of the place lies in the run's folder and may be deleted."""

    def __init__(self, run: Path, folder: Path, url: str, root: str, problem: str) -> None:
        """`run`: its git directory; `root`: the hash of its first event, its name there. Raises BadInput."""
        if not url or url.startswith("-"):
            raise BadInput("--exchange", "the URL or path of a bare git repository", repr(url))
        self.url, self.root, self._problem = url, root, problem
        self._folder = folder
        for name in ("objects/pack", "objects/info", "refs/heads"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "objects/info/alternates").write_text(f"{(run / 'objects').absolute()}\n")
        (folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        (folder / "HEAD").write_text("ref: refs/heads/none\n")

    def push(self, head: str, elites: Sequence[Elite]) -> bool:
        """Show these, in place of those before; False: git has none of them yet. Raises LedgerError."""
        shown = [each for each in elites if self._has(each.commit)][:MOST_ELITES]
        if not shown:
            return False
        card = {
            "schema": SCHEMA,
            "problem": self._problem,
            "run": self.root,
            "head": head,
            "elites": [
                {"variant": each.variant, "commit": each.commit, "score": each.score} for each in shown
            ],
        }
        blob = self._git("hash-object", "-w", "--stdin", given=json.dumps(card, indent=1).encode())
        tree = self._git("mktree", given=f"100644 blob {blob}\telites.json\n".encode())
        parents = [word for each in shown for word in ("-p", each.commit)]
        tip = self._git("commit-tree", tree, *parents, "-m", f"elites at {head[:12]}")
        self._git("push", "--quiet", "--force", self.url, f"{tip}:{BRANCHES}/{self.root}")
        return True

    def fetch(self) -> list[Immigrant]:
        """What all other runs of this problem show, the best of each first. Raises LedgerError.

        A branch that is not as it should be is passed over.
        """
        refspec = f"+{BRANCHES}/*:{BRANCHES}/*"
        self._git("fetch", "--quiet", "--no-tags", "--prune", "--no-write-fetch-head", self.url, refspec)
        rows = self._git(
            "for-each-ref", f"--count={MOST_BRANCHES}", "--format=%(refname) %(objectname)", BRANCHES
        )
        found: list[Immigrant] = []
        for row in rows.splitlines():
            ref, tip = row.split()
            if ref != f"{BRANCHES}/{self.root}":
                found += self._shown(tip)
        return found

    def _shown(self, tip: str) -> list[Immigrant]:
        card = self._card(tip)
        if card is None:
            return []
        parents = self._git("rev-list", "--parents", "-n", "1", tip).split()[1:]
        found = []
        for each in card["elites"][:MOST_ELITES]:
            if each["commit"] not in parents or (files := self._program(each["commit"])) is None:
                continue
            line = self._git("rev-list", "--first-parent", f"-n{MOST_ANCESTORS}", each["commit"]).split()
            found.append(
                Immigrant(
                    card["run"],
                    card["head"],
                    each["variant"],
                    each["commit"],
                    each["score"],
                    tuple(line),
                    files,
                )
            )
        return found

    def _card(self, tip: str) -> Mapping[str, Json] | None:
        """What a tip says of itself; None: nothing that can be used."""
        size = self._git("cat-file", "--batch-check=%(objectsize)", given=f"{tip}:elites.json\n".encode())
        if not size.isdigit() or int(size) > MOST_CARD_BYTES:
            return None
        try:
            card = json.loads(self._git("cat-file", "blob", f"{tip}:elites.json"))
            fine = (
                (card["schema"], card["problem"]) == (SCHEMA, self._problem)
                and all(_HASH.fullmatch(card[name]) for name in ("run", "head"))
                and all(
                    _NAME.fullmatch(each["variant"])
                    and _HASH.fullmatch(each["commit"])
                    and isinstance(each["score"], int | float)
                    and math.isfinite(each["score"])
                    for each in card["elites"]
                )
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return card if fine else None

    def _program(self, commit: str) -> Files | None:
        """The files of a commit, if they are plain and small enough."""
        rows = self._git("ls-tree", "-r", "-l", "-z", f"{commit}^{{tree}}").split("\0")[:-1]
        if not 0 < len(rows) <= MOST_FILES:
            return None
        total = 0
        for row in rows:
            mode, kind, _, size = row.split("\t")[0].split()
            if (mode, kind) != ("100644", "blob"):
                return None
            total += int(size)
        if total > MOST_BYTES:
            return None
        reader = Reader(self._folder)
        try:
            files = reader.files(f"{commit}^{{tree}}")
            tree_id(files)
        except ValueError:  # a path that cannot be kept everywhere
            return None
        finally:
            reader.close()
        return files

    def _has(self, commit: str) -> bool:
        answer = self._git("cat-file", "--batch-check", given=f"{commit}\n".encode())
        return answer.split()[1:2] == ["commit"]

    def _git(self, *arguments: str, given: bytes | None = None) -> str:
        """Git with the user's own settings: they may say how a place is reached. Nobody is asked anything."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        environment |= {name: value for name, value in os.environ.items() if name.startswith("GIT_SSH")}
        who = {"NAME": "evolve", "EMAIL": "evolve@localhost"}
        environment |= {
            f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()
        }
        environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}
        command = ["git", f"--git-dir={self._folder}", "-c", f"core.hooksPath={os.devnull}"]
        command += ["-c", "transfer.fsckObjects=true", "-c", "gc.auto=0", "-c", "protocol.ext.allow=never"]
        command += ["-c", "commit.gpgSign=false", *arguments]
        try:
            done = subprocess.run(
                command,
                env=environment,
                input=b"" if given is None else given,
                capture_output=True,
                timeout=GIT_SECONDS,
                process_group=0,
            )
        except subprocess.TimeoutExpired:
            raise LedgerError(
                f"exchange {self.url}: git {arguments[0]} took over {GIT_SECONDS:g} s"
            ) from None
        if done.returncode:
            said = story.one_line(done.stderr.decode(errors="replace"))[-300:]
            raise LedgerError(f"exchange {self.url}: git {arguments[0]}: {said}")
        return done.stdout.decode(errors="surrogateescape").strip("\n")
