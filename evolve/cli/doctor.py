"""`evolve doctor`: what this machine can do, and what to install."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from evolve.cli.screen import Facts, screen, size
from evolve.types import Json
from sandbox import Level, chosen, probe

LEAST_PYTHON = (3, 11)
LEAST_DISK_BYTES = 1 << 30
MOST_AHEAD = 1.0  # seconds of a node's clock: only logs suffer, no result depends on it

if TYPE_CHECKING:
    from evolve.cluster.room import Node

Finding = tuple[str, bool | None, str]  # what, fine (None: worth knowing), words


def doctor(cluster: str | None) -> int:
    """Print what was found; 1 where a run would not work here, or on no node of the cluster."""
    if cluster is not None:
        return _doctor_of_cluster(cluster)
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


def _doctor_of_cluster(address: str) -> int:
    """Print each node: its room, sandboxes, image, versions and clock."""
    # late: the cluster's part of the package is needed for nothing else here
    from evolve.cluster.roster import look
    from evolve.cluster.station import versions

    out, driver, fit = screen(), versions(), 0
    for node, found, ahead in look(address):
        out.print(Text(f"node {node.name}", style="key"))
        works, findings = node_findings(found, driver, ahead)
        fit += works
        out.print(Facts((name, _marked(fine, words)) for name, fine, words in [_room(node), *findings]))
        out.print()
    if not fit:
        out.print(Text("No node can do the work of a run: see above.", style="bad"))
        return 1
    out.print(f"{fit} node{'s' * (fit != 1)} can work. Next: evolve run PROBLEM --cluster {address}")
    return 0


def _room(node: Node) -> Finding:
    count = {name: much for name, much in sorted(node.total.items()) if ":" not in name}
    sizes = {"memory", "object_store_memory"}
    words = [
        f"{name} {size(int(much))}" if name in sizes else f"{name} {much:g}" for name, much in count.items()
    ]
    labels = [f"{key}={value}" for key, value in node.labels.items() if not key.startswith("ray.io/")]
    return "room", True, "; ".join([", ".join(words), *labels])


def node_findings(found: Json, driver: Mapping[str, str], ahead: float) -> tuple[bool, list[Finding]]:
    """Whether a node can work, and what was found there; `found` is text where it did not answer."""
    if isinstance(found, str):
        return False, [("answer", False, found)]
    from evolve.cluster.roster import greet  # late, as above

    wrong = greet(found, driver)
    said = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    findings: list[Finding] = [("versions", wrong is None, wrong or said)]
    for name, why in found["levels"].items():
        findings.append((name, None if why else True, why or "works"))
    level, image = found["auto"], found["image"]
    gets = f"takes {level}" if level else "no sandbox works here: this node gets no work"
    findings.append(("auto", level is not None, gets))
    findings.append(("image", True if image else None, image or "not there, or no Docker: see docker above"))
    off = abs(ahead) > MOST_AHEAD
    words = f"{ahead:+.3f} s beside the driver's"
    findings.append(("clock", None if off else True, words + ("; set it by NTP" if off else "")))
    return wrong is None and level is not None, findings


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
    """Each level of the sandbox: what it is like, else why it does not work and what helps; and `auto`."""
    levels = probe()
    for level in levels:
        words = _like(level.facts) if level.works else "; ".join(filter(None, (level.why, level.fix)))
        yield level.name, True if level.works else None, words
    if (taken := chosen(levels)) is not None:
        yield "auto", True, f"takes {taken}; another one by --sandbox {' | '.join(_working(levels, taken))}"


def _working(levels: Sequence[Level], taken: str) -> list[str]:
    return [level.name for level in levels if level.works and level.name != taken] or ["none"]


def _like(facts: Mapping[str, Json]) -> str:
    """What a level that works is made of."""
    landlock = f"Landlock {facts['landlock']}" if facts["landlock"] else "no Landlock"
    words = [f"works: Python {facts['python']}, numpy {facts['numpy']}", f"seccomp and {landlock}"]
    if "docker" in facts:
        over = {"socket": "a socket in a folder", "stdio": "stdin and stdout"}[facts["transport"]]
        words[0] += f" in the image {facts['image']}"
        words.append(f"Docker {facts['docker']} over {over}")
        words.append(f"runtimes {', '.join(facts['runtimes'])}")
    return "; ".join(words)


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
