"""A Docker daemon of a test's own, to be stopped, killed, and given a disk that is full."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS = 300.0  # for a machine that is busy


class Daemon:
    """Runs with its data on a small disk in memory; it has the project's image."""

    def __init__(self, disk_bytes: int = 700 << 20, remapped: bool = False) -> None:
        self._remapped = remapped  # users inside are others outside
        self.folder = Path(tempfile.mkdtemp(prefix="evolve-daemon-"))  # short: a socket's path has a limit
        self.folder.chmod(0o711)  # for users who are mapped
        self.host = f"unix://{self.folder}/socket"
        self._data = self.folder / "data"
        self._data.mkdir()
        self._log = (self.folder / "log").open("wb")
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={disk_bytes}", "evolve-test", str(self._data)], check=True
        )
        try:
            self.start()
            with subprocess.Popen(["docker", "save", "evolve-sandbox"], stdout=subprocess.PIPE) as saving:
                subprocess.run(["docker", "-H", self.host, "load", "-q"], stdin=saving.stdout, check=True)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = ["dockerd", "--data-root", str(self._data), "--exec-root", str(self.folder / "exec")]
        command += ["--pidfile", str(self.folder / "pid"), "--host", self.host]
        command += ["--iptables=false", "--bridge=none"]
        if self._remapped:
            ids = self.folder / "ids"  # seen by this daemon alone
            ids.write_text("nobody:100000:65536\nnogroup:100000:65536\n")
            binds = " && ".join(f"mount --bind {ids} /etc/{name}" for name in ("subuid", "subgid"))
            within = ["unshare", "--mount", "sh", "-c", f'{binds} && exec "$@"', "sh"]
            command = [*within, *command, "--userns-remap=nobody:nogroup"]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while self.docker("info", check=False).returncode != 0:
            said = (self.folder / "log").read_text()[-2000:]
            assert self._process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.1)

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Ask it something."""
        command = ["docker", "-H", self.host, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=check)

    def containers(self) -> list[str]:
        """Ids of those that run."""
        return self.docker("ps", "-q", "--no-trunc").stdout.split()

    def stop(self) -> None:
        """Stop it as an administrator would: its containers end."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(300)
            self._process = None

    @contextmanager
    def full(self) -> Iterator[None]:
        """Within: no room on its disk, also where something is removed."""
        over, ballast = threading.Event(), self._data / "ballast"

        def fill() -> None:
            with ballast.open("wb") as file:
                while not over.wait(0.001):
                    room, end = os.statvfs(self._data), file.seek(0, os.SEEK_END)
                    with suppress(OSError):  # somebody was faster
                        if room.f_bfree:
                            os.posix_fallocate(file.fileno(), end, room.f_bfree * room.f_frsize)

        filling = threading.Thread(target=fill)
        filling.start()
        try:
            while os.statvfs(self._data).f_bfree:
                time.sleep(0.01)
            yield
        finally:
            over.set()
            filling.join()
            ballast.unlink()

    def close(self) -> None:
        """Stop it and remove everything."""
        self.stop()
        self._log.close()
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in reversed([mount for mount in mounts if mount.startswith(str(self.folder))]):
            subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(self.folder)
