"""`evolve doctor`: what this machine can do, and what to install."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from rich.text import Text

from evolve.cli.screen import Facts, screen, size
from sandbox import probe

LEAST_PYTHON = (3, 11)
LEAST_DISK_BYTES = 1 << 30

Finding = tuple[str, bool | None, str]  # what, fine (None: worth knowing), words


def doctor() -> int:
    """Print what was found; 1 where a run would not work here."""
    out = screen()
    levels = list(sandboxes())
    findings = [*machine(), *levels]
    out.print(Facts((name, _marked(fine, words)) for name, fine, words in findings))
    works = any(fine for _, fine, _ in levels)
    broken = [name for name, fine, _ in machine() if fine is False] + (
        [] if works else ["bubblewrap or landlock"]
    )
    out.print()
    if broken:
        out.print(Text(f"A run would not work here: see {', '.join(broken)} above.", style="bad"))
        return 1
    out.print("Ready. Next: evolve run tsp_constructive --seconds 60")
    return 0


def machine() -> Iterator[Finding]:
    """Python, git, packages, disk and cores."""
    fine = sys.version_info >= LEAST_PYTHON
    yield "python", fine, platform.python_version() + ("" if fine else ": install 3.11 or newer")
    yield "system", sys.platform == "linux", f"{platform.system()} {platform.release()}"
    git = shutil.which("git")
    if git is None:
        yield "git", False, "not found: install git"
    else:
        words = subprocess.run([git, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        yield "git", True, words.removeprefix("git version ")
    yield "numpy", *_package("numpy", needed=True)
    yield "litellm", *_package("litellm", needed=False)
    free = shutil.disk_usage(Path.cwd()).free
    yield "disk", True if free > LEAST_DISK_BYTES else None, f"{size(free)} free here"
    cores = len(os.sched_getaffinity(0))
    yield "cores", True, f"{cores}"


def sandboxes() -> Iterator[Finding]:
    """Each level of the sandbox: whether it works, else why not and what helps."""
    for level in probe():
        if level.name != "none":  # it always works, and is no sandbox
            words = "; ".join(filter(None, ("works" if level.works else "", level.why, level.fix)))
            yield level.name, True if level.works else None, words


def _package(name: str, *, needed: bool) -> tuple[bool | None, str]:
    if find_spec(name) is None:
        return (False if needed else None), f"not installed: pip install {name}"
    try:
        return True, version(name)
    except PackageNotFoundError:
        return True, "installed"


def _marked(fine: bool | None, words: str) -> Text:
    mark, style = {True: ("✓", "good"), False: ("✗", "bad"), None: ("-", "note")}[fine]
    return Text.assemble((mark, style), " ", words)
