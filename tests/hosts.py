"""Hosts on this machine: each with a network, processes and temporary files of its own, and a wire."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from conftest import NAMESPACES, ROOT
from processes import children

# beside other tests, workers of the usual niceness, 15, would get next to nothing
FAIR = {"worker_niceness": 0, "worker_register_timeout_seconds": 600}
EVOLVE = [sys.executable, "-m", "evolve"]
RAY_START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--object-store-memory=80000000"]
HEAD = [
    "--head",
    "--port=6379",
    "--num-cpus=0",
    "--include-dashboard=false",
    "--system-config",
    json.dumps(FAIR),
]

# A new /tmp, in which only Python and the project are what they are outside.
BEGIN = """set -e
new=$1; shift
mount -t tmpfs tmpfs $new
for each in "$@"; do mkdir -p $new/$each; mount --bind /tmp/$each $new/$each; done
mount --move $new /tmp
mount -t tmpfs tmpfs /dev/shm
ip link set lo up
echo up
exec sleep infinity"""


class Host:
    """Commands run in it until it is unplugged. They share no files, but for Python and the project."""

    def __init__(self, number: int) -> None:
        self.address, self._wired = f"10.77.0.{number}", False
        self._started: list[subprocess.Popen[str]] = []
        kept = [
            path for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix)) if path.is_relative_to("/tmp")
        ]
        with tempfile.TemporaryDirectory() as new:
            inside = ["sh", "-c", BEGIN, "sh", new, *(str(path.relative_to("/tmp")) for path in kept)]
            pipe = subprocess.PIPE
            self._first = subprocess.Popen([*NAMESPACES, *inside], stdout=pipe, stderr=pipe, text=True)
            assert self._first.stdout is not None
            if self._first.stdout.readline() != "up\n":
                raise OSError(self._first.communicate()[1])
        (self.pid,) = children(self._first.pid)

    def wire(self, other: Host) -> None:
        """Connect another host to this one, and through it to those that are so already."""
        if not self._wired:
            self._ip("link add lan type bridge", *self._joined("lan"))
        self._wired = True
        port = f"to{other.pid}"
        self._ip(
            f"link add {port} type veth peer name lan netns {other.pid}", f"link set {port} master lan up"
        )
        other._ip(*other._joined("lan"))

    def _joined(self, link: str) -> list[str]:
        """Nothing is reached by the default route, but by it Ray finds a host's own address."""
        return [
            f"addr add {self.address}/24 dev {link}",
            f"link set {link} up",
            f"route add default dev {link}",
        ]

    def _ip(self, *lines: str) -> None:
        for line in lines:
            command = ["nsenter", f"--target={self.pid}", "--net", "ip", *line.split()]
            subprocess.run(command, check=True)

    def path(self, name: str) -> Path:
        """What is its /tmp/NAME, as seen from outside."""
        return Path(f"/proc/{self.pid}/root/tmp/{name}")

    def start(self, *command: str, **more: Any) -> subprocess.Popen[str]:
        """Start a command there."""
        within = [
            "nsenter",
            f"--target={self.pid}",
            "--net",
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "--wd=/tmp",
        ]
        # others fill this machine's memory at times: no reason to end our workers
        own = {"PYTHONPATH": str(ROOT), "RAY_memory_monitor_refresh_ms": "0", "HOME": "/tmp"}
        kept = {name: value for name, value in os.environ.items() if name not in ("RAY_TMPDIR", "TMPDIR")}
        self._started.append(subprocess.Popen([*within, *command], text=True, env=kept | own, **more))
        return self._started[-1]

    def run(self, *command: str) -> str:
        """What a command there prints, which must succeed."""
        process = self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate()
        assert process.returncode == 0, f"{command}: {out[-2000:]}{err[-2000:]}"
        return out

    def kill(self, process: subprocess.Popen[str]) -> None:
        """SIGKILL what was started here."""
        (command,) = children(process.pid)  # of nsenter
        os.kill(command, signal.SIGKILL)
        process.wait()

    def raylets(self) -> list[int]:
        """Those that live."""
        found = []
        for command in Path(f"/proc/{self.pid}/root/proc").glob("[0-9]*/cmdline"):
            with suppress(FileNotFoundError, ProcessLookupError):
                found += [int(command.parent.name)] * (b"/raylet/raylet\0" in command.read_bytes())
        return found

    def unplug(self) -> None:
        """End it, with all that runs there."""
        if self._first.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        for process in (self._first, *self._started):
            process.wait()
            for pipe in filter(None, (process.stdout, process.stderr)):
                pipe.close()


@contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    """So many, all on one network, which ends with them."""
    with ExitStack() as stack:
        found = []
        for number in range(count):
            found.append(Host(number + 1))
            stack.callback(found[-1].unplug)
        for other in found[1:]:
            found[0].wire(other)
        yield found
