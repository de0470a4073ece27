"""The bare repository of a run on disk: made, locked, swept, and how the git program is called in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from evolve.types import BadInput, LedgerError

OURS = "evolve"  # the folder in a run's repository that git does not know: lock and journal
EVENTS = "refs/heads/events"
CLONED_EVENTS = "refs/remotes/origin/events"  # where a plain clone has them
CHAMPION = "refs/heads/champion"
PATIENCE_SECONDS = 30.0  # for the git processes of a killed run to finish what they were doing

_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
[gc]
\tauto = 0
"""


def start(git_dir: Path, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start git on a repository, with nothing of the user's: settings, hooks, terminal, Ctrl-C."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": f"{os.devnull}/none",  # a commit's parents are those that its hash names
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    command = ["git", f"--git-dir={git_dir}", "-c", f"core.hooksPath={os.devnull}", *arguments]
    try:
        return subprocess.Popen(command, env=environment, process_group=0, **options)
    except FileNotFoundError as error:
        raise LedgerError("git is not installed, or not on the PATH: a run is a git repository") from error
    except OSError as error:
        raise LedgerError(f"git cannot be started: {error}") from error


def output(git_dir: Path, *arguments: str) -> bytes:
    """What git prints. Raises LedgerError with its complaint."""
    process = start(git_dir, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, complaint = process.communicate()
    if process.returncode:
        raise LedgerError(f"run {git_dir}: git {arguments[0]}: {complaint.decode(errors='replace').strip()}")
    return out


def complaints() -> IO[bytes]:
    """A file for what a long-lived git says on stderr; a pipe that nobody reads would block it."""
    return tempfile.TemporaryFile()


def said(file: IO[bytes]) -> str:
    """What git died of, as such a file tells it; else the file's end. On one line."""
    file.seek(0)
    text = file.read().decode(errors="replace")
    fatal = [line for line in text.splitlines() if line.startswith("fatal: ")][:1]
    return " ".join("".join(fatal or text).split())[-400:] or "no message"


def locate(path: Path) -> Path:
    """The git directory of a run, or of a clone of one. Raises BadInput where there is none."""
    for candidate in (path, path / ".git"):
        if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir():
            return candidate
    raise BadInput(
        str(path), "a run (a git repository made by evolve)", "a folder" if path.is_dir() else "nothing"
    )


def names(git_dir: Path, ref: str) -> bool:
    """Whether a repository has this ref, whatever became of the object that it names."""
    packed = git_dir / "packed-refs"
    return (git_dir / ref).is_file() or (packed.is_file() and f" {ref}\n".encode() in packed.read_bytes())


def is_ours(path: Path) -> bool:
    """Whether a path is free for a run, or has one, or has half of one."""
    if not path.exists() or (path / OURS / "lock").is_file():
        return True
    if not path.is_dir():
        return False
    packed = path / "packed-refs"
    mirrored = packed.is_file() and EVENTS.encode() in packed.read_bytes()
    return mirrored or (path / EVENTS).is_file() or not any(path.iterdir())


def initialise(path: Path) -> None:
    """Make a bare repository, or what is missing of one. By hand: no template, no default of a user."""
    for folder in ("objects/pack", "objects/info", "refs/heads", "refs/tags"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    # HEAD is written last: a folder without it is not yet a repository
    for name, text in (("config", _CONFIG), ("HEAD", f"ref: {CHAMPION}\n")):
        if not (path / name).is_file() or not (path / name).stat().st_size:
            draft = path / OURS / name
            draft.write_text(text)
            draft.rename(path / name)


def hold(path: Path) -> int:
    """Take a run's lock; it is free when the file is closed here and in every git process that inherited it.

    Raises BadInput, with the process id, while another process has it.
    """
    (path / OURS).mkdir(parents=True, exist_ok=True)
    lock = os.open(path / OURS / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            text = os.pread(lock, 20, 0).decode(errors="replace").strip()
            # the holder may just have died, and its git not yet have noticed
            patience = 0.5 if text.isdigit() and _lives(int(text)) else PATIENCE_SECONDS
            if time.monotonic() - began > patience:
                os.close(lock)
                holder = f"one in use by process {text or 'unknown'}"
                raise BadInput(f"run {path}", "a run that no other process writes", holder) from None
            time.sleep(0.02)
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    return lock


def held(path: Path) -> bool:
    """Whether a process has a run's lock, that is, works on it now."""
    try:
        lock = os.open(path / OURS / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # for an instant; who wants to hold it tries again
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def sweep(path: Path) -> None:
    """Remove what killed git processes left. Only under the lock."""
    pack = path / "objects" / "pack"
    stale = [*path.glob("*.lock"), *path.glob("fast_import_crash_*"), *(path / "refs").rglob("*.lock")]
    stale += [*pack.glob("tmp_*"), *pack.glob(".tmp-*"), *(path / "objects").glob("??/tmp_obj_*")]
    # a .keep of somebody else than fast-import was put there on purpose
    stale += [keep for keep in pack.glob("*.keep") if keep.read_bytes().startswith(b"fast-import")]
    for leftover in stale:
        leftover.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        with contextlib.suppress(PermissionError):
            os.kill(pid, 0)
        return True
    return False
