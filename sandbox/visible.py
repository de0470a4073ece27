"""What of the host a program sees: one interpreter, its standard library, numpy and the declared packages."""

from __future__ import annotations

import importlib.metadata as metadata
import importlib.util
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from evolve.types import BadInput, SandboxUnavailable

SHARED_LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache")
TOOLS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
# of this package, inside
CODE = (
    *("__init__", "commands", "forkserver", "frames", "heap"),
    *("kernel", "landlock", "runner", "seccomp", "values"),
)

PREFIX = Path(sys.base_prefix)
EXECUTABLE = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
LIBRARY = Path(sysconfig.get_path("stdlib"))
OTHERS = ("site-packages", "dist-packages")  # folders in the library that hold undeclared packages
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # the order of a set is part of what a program does: the same in every run
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMEXPR_NUM_THREADS": "1",
    "LANG": "C.UTF-8",
}  # fmt: skip


def package_entries(packages: Iterable[str]) -> list[Path]:
    """Files and folders of installed packages (modules that one imports), with what they need, and numpy.

    Raises BadInput for a package that is not installed.
    """
    entries: dict[Path, None] = {}
    seen: set[str] = set()
    for name in ("numpy", *(package.partition(".")[0] for package in packages)):
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise BadInput("packages", "packages that are installed", name)
        waiting = _distributions(name)
        if not waiting:  # no metadata: the module alone
            places = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
            entries |= dict.fromkeys(Path(place) for place in places)
        while waiting:
            distribution = waiting.pop()
            if _canonical(distribution.name) in seen:
                continue
            seen.add(_canonical(distribution.name))
            entries |= dict.fromkeys(_top_level(distribution))
            for requirement in distribution.requires or ():
                needed = re.match(r"[\w.-]+", requirement)
                if needed and "extra ==" not in requirement:
                    waiting += _distributions(needed.group())
    return [entry for entry in entries if entry.exists()]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distributions(name: str) -> list[metadata.Distribution]:
    """Installed distributions of this name, else those that install a module of this name."""
    try:
        return [metadata.distribution(name)]
    except metadata.PackageNotFoundError:
        return [metadata.distribution(found) for found in metadata.packages_distributions().get(name, ())]


def _top_level(distribution: metadata.Distribution) -> set[Path]:
    record = distribution.read_text("RECORD") or ""
    first = {re.split("[/,]", line, maxsplit=1)[0].strip('"') for line in record.splitlines()}
    return {Path(str(distribution.locate_file(name))) for name in first - {"", "..", "__pycache__"}}


def library_entries() -> list[Path]:
    """The standard library's files and folders without the packages that lie among them."""
    return [entry for entry in LIBRARY.iterdir() if entry.name not in OTHERS]


def require_commands(names: Iterable[str]) -> None:
    """Raise SandboxUnavailable for a command of the system that is not installed where programs find it."""
    for name in names:
        if shutil.which(name, path="/usr/bin:/bin") is None:
            raise SandboxUnavailable(f"{name} is needed and not installed (apt install {name})")


def link_into(folder: Path, entries: Iterable[Path]) -> None:
    """Make a folder from which these entries, and no other packages, can be imported."""
    folder.mkdir(0o755)
    for entry in entries:
        (folder / entry.name).symlink_to(entry)


def only_root_may_enter(paths: Iterable[Path]) -> bool:
    """Whether some path lies in a folder that other users may not pass, such as root's home."""
    folders = {folder for path in paths for folder in path.parents}
    return any(not folder.stat().st_mode & 0o001 for folder in folders)
