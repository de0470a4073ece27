"""Level `docker`: the fork server as PID 1 of a hardened container. The only place that knows the Docker SDK.

The container has no network, a read-only root, three capabilities (to give each job a user of its own and
to kill it), limits on memory, processes and CPU, a small /tmp and /dev/shm in memory, and nothing of the host
but one folder with one socket, which only root inside may enter; where that cannot be shared, not even this,
and its standard input and output carry everything. The server's code comes with its command, so any image
with Python 3.11 and numpy serves.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

from evolve.types import Json, SandboxUnavailable
from sandbox import attached, visible
from sandbox.forkserver import CHANNEL, Settings
from sandbox.launch import START_SECONDS, Scratch, Server, Setup, last_line, users

IMAGE, NATIVE_IMAGE = "evolve-sandbox", "evolve-sandbox-native"
LABEL = "evolve.sandbox"  # of each container; its value names the process that owns it
BUILD = (
    f"printf 'FROM python:3.13-slim\\nRUN pip install numpy\\n' | docker build -t {IMAGE} -"
    " (or docker/build-offline of the sources, where no registry is to be had);"
    f" for programs that are built: docker build -f docker/Dockerfile.native -t {NATIVE_IMAGE} docker"
)
DAEMON = "start Docker (systemctl start docker) and let this user talk to it (usermod -aG docker USER)"

_FOLDER = "/run/evolve"  # inside
_SOCKET, _WORDS = "control", "words"
_JOBS, _NATIVE_JOBS = "/tmp", "/jobs"  # the latter may hold what is executed
_SERVER_BYTES = 192 << 20  # the server itself, /tmp and /dev/shm, beside what a program may take
_TMP_BYTES, _TMP_FILES, _SHM_BYTES = 64 << 20, 4096, 1 << 20
_PIDS = 128
_API_SECONDS = 30
_CREDENTIALS = struct.Struct("3i")  # of a socket's other end: process (0: not seen here), user, group
_MAPPED_UIDS = (50_000, 4096)  # user namespaces usually have 65,536 users

# Python's `-c`: an importer for the fork server's modules, then its main function.
_BOOT = """
import base64, importlib.util, json, sys, zlib
code, settings = sys.argv[1:]
code = json.loads(zlib.decompress(base64.b64decode(code)))
class Finder:
    def find_spec(name, path=None, target=None):
        if name in code:
            return importlib.util.spec_from_loader(name, Finder, is_package=name == "sandbox")
    def create_module(spec):
        return None
    def exec_module(module):
        exec(compile(code[module.__name__], module.__name__, "exec"), module.__dict__)
sys.meta_path.insert(0, Finder)
if isinstance(json.loads(settings)["control"], int):
    from sandbox import relay
    relay.divide(json.loads(settings)["control"])
from sandbox import forkserver
sys.meta_path.remove(Finder)
forkserver.main(settings)
"""


def start(setup: Setup) -> Server:
    """Start a fork server in a container. Raises SandboxUnavailable: no daemon, no image, no such runtime."""
    with _daemon() as api:
        _sweep(api)
        transport = setup.transport or _transport(api)
        server = (_over_socket if transport == "socket" else _over_stdio)(api, setup)
    server.facts["transport"] = transport
    return server


def about() -> dict[str, Json]:
    """What people want to know of the daemon and of the image. Raises SandboxUnavailable."""
    with _daemon() as api:
        info = api.info()
    runtimes = [name for name in info["Runtimes"] if not name.startswith("io.containerd.")]
    return {"docker": info["ServerVersion"], "image": IMAGE, "runtimes": sorted(runtimes)}


def _transport(api: Any) -> str:
    """A socket where it surely reaches into the container: the daemon shares our kernel, files and users."""
    info, where = api.info(), _address()
    ours = (
        where.startswith("unix://")
        and _is_seen(where)
        and (info["KernelVersion"], info["Name"]) == (os.uname().release, os.uname().nodename)
        and info["OperatingSystem"] != "Docker Desktop"
        and not any(option in ("name=userns", "name=rootless") for option in info["SecurityOptions"] or ())
    )
    return "socket" if ours else "stdio"


def _is_seen(where: str) -> bool:
    """Whether the daemon is a process that is seen here; in a container with the host's name it is not."""
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(where.removeprefix("unix://"))
        credentials = first.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(credentials)[0])


def _over_socket(api: Any, setup: Setup) -> Server:
    folder = _Folder()
    try:
        life = _Container(_create(api, setup, folder.path), folder.words)
        try:
            api.start(life.id)
            control = folder.accept(lambda: _alive(api, life.id))
        except BaseException:
            life.end()
            raise
    finally:
        folder.remove()
    return Server(control, life)


def _over_stdio(api: Any, setup: Setup) -> Server:
    words = os.memfd_create("words")
    life = _Container(_create(api, setup, None), words)
    try:
        flow = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        stream = attached.Attached(api.attach_socket(life.id, flow), words)
        try:
            api.start(life.id)
        except BaseException:
            stream.close()
            raise
    except BaseException:
        life.end()
        raise
    return Server(attached.connect(stream), life)


def load_sdk() -> None:
    """Import the Docker SDK, which is done late elsewhere: .1 s, and only this level needs it."""
    import docker  # noqa: F401


@contextmanager
def _daemon() -> Iterator[Any]:
    """The daemon's API, its errors turned into SandboxUnavailable."""
    # late: .2 s, and only this level needs them; some errors of the SDK's own dependency arrive bare
    import docker
    import docker.errors
    import docker.utils
    import requests

    where = _address()
    try:
        if where.startswith("unix://"):  # the SDK leaks a socket where nobody listens
            with socket.socket(socket.AF_UNIX) as first:
                first.connect(where.removeprefix("unix://"))
        settings = docker.utils.kwargs_from_env()
        with closing(docker.APIClient(**settings, version="auto", timeout=_API_SECONDS)) as api:
            yield api
    except docker.errors.ImageNotFound:
        raise SandboxUnavailable("the image is missing. Build it: " + BUILD) from None
    except docker.errors.APIError as error:
        raise SandboxUnavailable(f"Docker: {_one_line(error.explanation or error)}") from error
    except (
        docker.errors.DockerException,
        requests.RequestException,
        ConnectionError,
        FileNotFoundError,
    ) as error:
        raise SandboxUnavailable(f"no Docker daemon answers at {where}: {DAEMON}") from error
    except PermissionError as error:
        raise SandboxUnavailable(
            f"this user may not talk to the Docker daemon at {where}: {DAEMON}"
        ) from error


def _address() -> str:
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]


def _create(api: Any, setup: Setup, folder: Path | None) -> str:
    """A container's id; without a folder it talks through its standard input and output."""
    memory_bytes = setup.memory_bytes + _SERVER_BYTES + (_TMP_BYTES if setup.native else 0)
    processes = setup.processes or setup.native
    jobs = _NATIVE_JOBS if setup.native else _JOBS
    settings = Settings(
        control=f"{_FOLDER}/{_SOCKET}" if folder else CHANNEL,
        jobs=jobs,
        packages=("numpy", *setup.packages),
        uids=users() if folder else _MAPPED_UIDS,
        mount=False,
        walls=True,
        landlock=False,  # a second wall here, where the kernel and the daemon's filter let it be
        read=("/",),
        write=(*dict.fromkeys((_JOBS, jobs)), "/dev/shm", "/dev/null"),
        names=(),
        search=False,
        words=f"{_FOLDER}/{_WORDS}" if folder else None,
        shared=(*dict.fromkeys((_JOBS, jobs)), "/dev/shm", "/dev/mqueue"),
        processes=processes,
        native=setup.native,
        execute=("/",) if processes else (),
        settled=setup.settled,
    )
    flags = f"nosuid,nodev,mode=1777,size={_TMP_BYTES},nr_inodes={_TMP_FILES}"
    folders = {_JOBS: f"noexec,{flags}"}
    if setup.native:
        folders[_NATIVE_JOBS] = f"exec,{flags}"
    host = api.create_host_config(
        network_mode="none",
        ipc_mode="private",
        read_only=True,
        cap_drop=["ALL"],
        cap_add=["SETUID", "SETGID", "KILL"],
        security_opt=["no-new-privileges"],
        mem_limit=memory_bytes,
        memswap_limit=memory_bytes,
        nano_cpus=1_000_000_000,
        cpuset_cpus=None if setup.core is None else str(setup.core),
        pids_limit=_PIDS,
        oom_score_adj=500,  # before the driver, after the job
        shm_size=_SHM_BYTES,
        tmpfs=folders,
        binds={str(folder): {"bind": _FOLDER, "mode": "rw"}} if folder else None,
        log_config={"type": "none"},
        runtime=setup.runtime,
        auto_remove=True,
    )
    command = ["python3", "-s", "-P", "-B", "-c", _BOOT, _code(), json.dumps(settings._asdict())]
    made = api.create_container(
        setup.image or (NATIVE_IMAGE if setup.native else IMAGE),
        command,
        entrypoint=[],
        user="0:0",
        working_dir="/",
        hostname="sandbox",
        environment=dict(visible.ENVIRONMENT),
        labels={LABEL: _owner()},
        host_config=host,
        network_disabled=True,
        stdin_open=folder is None,
    )
    return str(made["Id"])


def _code() -> str:
    """The fork server's modules, for the command line of the container."""
    modules = {
        f"sandbox.{name}": Path(__file__).with_name(f"{name}.py").read_text()
        for name in (*visible.CODE, "relay")
    }
    modules["sandbox"] = modules.pop("sandbox.__init__")
    return base64.b64encode(zlib.compress(json.dumps(modules).encode(), 9)).decode()


# ------------------------------------------------------------------------------------- what a container holds


class _Folder:
    """A folder with the socket that the container's server connects to, and the file for its words.

    Needed for the start alone: the container keeps its mount, this process the descriptors.
    """

    def __init__(self) -> None:
        # the outer folder keeps other users of the host out, the inner one (a mount inside) the jobs
        self._outer = Scratch(0o700)
        self.path = self._outer.path / "mount"
        self.path.mkdir()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(self.path / _SOCKET))
        self._listener.listen(1)
        self.words = os.open(self.path / _WORDS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        ours = os.geteuid() == 0  # else root inside, who has no power there, is one of the others
        self.path.chmod(0o700 if ours else 0o711)
        for name in (_SOCKET, _WORDS):
            (self.path / name).chmod(0o600 if ours else 0o666)

    def accept(self, alive: Callable[[], bool]) -> socket.socket:
        """The server's end; nobody can connect afterwards. Raises SandboxUnavailable where nobody came."""
        deadline = time.monotonic() + START_SECONDS
        self._listener.settimeout(0.5)
        while True:
            try:
                control, _ = self._listener.accept()
            except TimeoutError:
                if time.monotonic() > deadline or not alive():
                    said = last_line(self.words) or "has the image Python 3.11 with numpy?"
                    raise SandboxUnavailable(f"the container ended at its start: {said}") from None
            else:
                return control

    def remove(self) -> None:
        """Remove it; `words` stays open."""
        self._listener.close()
        self._outer.remove()


class _Container:
    """A container's life, from its creation to its removal."""

    def __init__(self, id: str, words: int) -> None:
        self.id = id
        self._words = words

    def last_words(self) -> str:
        return last_line(self._words)

    def end(self) -> None:
        if self._words < 0:
            return
        os.close(self._words)
        self._words = -1
        # It leaves by itself, and the daemon takes .1 s to remove it: nobody's to wait for. A daemon that is
        # gone is met at the next start.
        Thread(target=_remove, args=(self.id,), name="remove container").start()


def _remove(id: str) -> None:
    with suppress(SandboxUnavailable), _daemon() as api:
        api.remove_container(id, force=True)


def _alive(api: Any, id: str) -> bool:
    found = api.containers(all=True, filters={"id": id})
    return any(container["State"] in ("created", "running") for container in found)


# ----------------------------------------------------------------------------------- leftovers of the killed


def _owner() -> str:
    """This process, in a way that no other can be taken for it: boot, PID namespace, PID, start time."""
    return f"{_world()} {os.getpid()} {_started(os.getpid())}"


def _world() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {os.stat('/proc/self/ns/pid').st_ino}"


def _started(pid: int) -> str:
    """When a process began, in ticks since the boot; empty: there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        return ""


def _sweep(api: Any) -> None:
    """Remove containers whose owner, a process that we could see, is no more."""
    for found in api.containers(all=True, filters={"label": LABEL}):
        world, pid, started = found["Labels"][LABEL].rsplit(" ", 2)
        if world == _world() and _started(int(pid)) != started:
            _remove(found["Id"])
