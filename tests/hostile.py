"""Attacks on the sandbox, as data: what each tries, its program, and how every level must answer it.

`arena.py` tries them. Each is a program for one problem: a case shows three numbers and hides one. Their sum
is worth 1, the hidden number 10, and so is a list of what was reached that must not be, unless it is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BARE = "none"  # the level at which the harmless ones are tried, to see that they are attacks
IN_VAIN, SUCCEEDS, NOT_TRIED = "in vain", "**succeeds**", ""


@dataclass(frozen=True)
class Attack:
    """A program, and how each level must answer it: `in vain`, or the failures that it is recorded with."""

    name: str
    tries: str  # for people
    source: str  # of program.py; it may import `tools`
    ends: str = IN_VAIN
    at: Mapping[str, str] = field(default_factory=dict)  # levels where it ends otherwise
    bare: str = NOT_TRIED  # how it ends at level none, where it can be tried without harm to the machine
    cases: int = 1
    jobs: int = 1  # two: the second job looks for what the first has left
    seconds: float = 20.0  # limit of a case; the usual one is reached by no attack
    least_seconds: float = 0.0  # what must be measured, whatever the program says
    files: Mapping[str, bytes] = field(default_factory=dict)

    def expected(self, level: str) -> str:
        """How it must end at a level."""
        return self.at.get(level, self.bare if level == BARE else self.ends)


@dataclass(frozen=True)
class Leak:
    """What a program learns or may do although nothing is broken: asserted, so that documents stay true."""

    says: str
    source: str  # its function returns whether it is so
    levels: frozenset[str]  # where it is so; nowhere else


# The first thirty are those that the sandbox was designed against; the others came as it was attacked.
ATTACKS = (
    Attack(
        "frame walk", "walk the frames to the evaluator and its hidden number",
        """
from tools import *
def f(case):
    frame, found = sys._getframe(), []
    while frame:
        found += [frame.f_locals, frame.f_globals]
        frame = frame.f_back
    return hidden(case, *found)
""",
        bare=IN_VAIN,
    ),
    Attack(
        "gc scan", "look for the hidden number in every object that the garbage collector knows",
        """
from tools import *
def f(case):
    gc.unfreeze()
    return hidden(case, *gc.get_objects())
""",
        bare=IN_VAIN,
    ),
    Attack(
        "evaluator replaced", "replace every function called `score`, `decode`, `judge` ...",
        """
from tools import *
def f(case):
    numbers = case["numbers"]
    for module in list(sys.modules.values()):
        for name in ("score", "evaluate", "decode", "judge", "_judged", "_read", "_number"):
            if name in vars(module):
                setattr(module, name, lambda *_, **__: 10.0)
    try:
        import fitness.evaluation
    except ImportError:
        return sum(numbers)
    return ["the evaluator's code"]
""",
        bare=IN_VAIN,
    ),
    Attack(
        "evil comparisons", "answer with an object that wins every comparison",
        """
class Best:
    def __eq__(self, other): return True
    def __lt__(self, other): return True
    __ne__ = __le__ = __gt__ = __ge__ = __eq__
    def __hash__(self): return 0
    def __float__(self): return 10.0
    def __sub__(self, other): return 0
    __rsub__ = __abs__ = lambda self, *other: 0
def f(case):
    return Best()
""",
        "`invalid_answer`", bare="`invalid_answer`",
    ),
    Attack(
        "float subclass", "answer with a float whose comparisons lie",
        """
class Best(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __lt__ = __gt__ = __le__ = __ge__ = __eq__
    def __hash__(self): return 0
    def __float__(self): return 10.0
    def __repr__(self): return "10.0"
def f(case):
    return Best(sum(case["numbers"]))
""",
        bare=IN_VAIN,
    ),
    Attack(
        "clock patched", "stop the clocks, then work slowly",
        """
import time
sleep = time.sleep
for name in ("time", "perf_counter", "monotonic", "process_time", "thread_time"):
    setattr(time, name, lambda: 0.0)
    setattr(time, name + "_ns", lambda: 0)
def f(case):
    sleep(.1)
    return sum(case["numbers"])
""",
        bare=IN_VAIN, least_seconds=0.1,
    ),
    Attack(
        "numpy.mean patched", "make every mean, and every error, nought",
        """
import builtins, numpy as np
for module, names in ((np, ("mean", "abs", "sum", "max", "allclose")), (builtins, ("abs", "sum"))):
    for name in names:
        setattr(module, name, lambda *_, **__: 0.0)
def f(case):
    return 0
""",
        bare=IN_VAIN,
    ),
    Attack(
        "numbers that are none", "answer NaN, infinity, -0.0, 1e999; as a value and as bytes",
        """
from tools import *
def f(case):
    index = case["index"]
    if index > 3:
        return forge([b"1e999", b"NaN", b"-Infinity", b'{"a": 1, "a": 2}'][index - 4])
    return [float("nan"), float("inf"), -0.0, np.array([1, np.nan])][index]
""",
        "in vain, `invalid_answer`", bare="in vain, `invalid_answer`", cases=8,
    ),
    Attack(
        "writing outside",
        "write, truncate, rename, link, change modes and times outside of the job's directory",
        """
from tools import *
def f(case):
    canary, folder = case["canary"], case["folder"]
    return reached(
        append=lambda: open(canary, "a").close(), truncate=lambda: os.truncate(canary, 0),
        empty=lambda: os.open(canary, os.O_RDONLY | os.O_TRUNC),
        new=lambda: open(folder + "/left-by-a-job", "w").close(),
        nameless=lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR),
        rename=lambda: os.rename(canary, canary + "2"),
        unlink=lambda: os.unlink(canary), chmod=lambda: os.chmod(canary, 0),
        chown=lambda: os.chown(canary, 1, 1),
        times=lambda: os.utime(canary, (5, 5)), attribute=lambda: os.setxattr(canary, "user.x", b"1"),
        link=lambda: os.link(canary, "mine"), folder=lambda: os.mkdir(folder + "/left-by-a-job"),
        root=lambda: open("/left-by-a-job", "w").close(),
        system=lambda: open("/usr/lib/left-by-a-job", "w").close(),
        etc=lambda: open("/etc/left-by-a-job", "w").close(),
        var=lambda: open("/var/tmp/left-by-a-job", "w").close(),
        library=lambda: open(os.__file__, "a").close(), numpy=lambda: open(np.__file__, "a").close(),
        interpreter=lambda: open(sys.executable, "r+b").close(),
    )
""",
    ),
    Attack(
        "keys", "find keys in the environment, in /proc and in memory",
        """
from tools import *
def f(case):
    name = case["key"]
    found = [n for n in os.environ if "KEY" in n]
    for process in ("1", "self", "thread-self", os.getppid(), case["driver"], case["keeper"]):
        content = quietly(lambda: open(f"/proc/{process}/environ", "rb").read())
        if content and name.encode() in content:
            found.append(f"/proc/{process}/environ")
    if in_memory(f"{name[:-1]}[{name[-1]}]=".encode()):
        found.append("memory")
    return found
""",
        bare=SUCCEEDS,
    ),
    Attack("exit at import", "end the process with code 0 when imported", "import os; os._exit(0)",
        "`crash`", bare="`crash`"),
    Attack("SystemExit", "raise SystemExit(0) when imported", "raise SystemExit(0)", "`crash`",
        bare="`crash`"),
    Attack(
        "endless loop", "never end",
        "def f(case):\n    while True: pass\n",
        "`timeout`", bare="`timeout`", seconds=0.3,
    ),
    Attack(
        "deaf", "never end, all signals and exceptions ignored",
        """
import signal, time
def f(case):
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
    while True:
        try: time.sleep(1)
        except BaseException: pass
""",
        "`timeout`", bare="`timeout`", seconds=0.3,
    ),
    Attack(
        "sleeping children", "leave 50 sleeping children behind",
        """
from tools import *
def child():
    if os.fork() == 0:
        os.setsid()
        time.sleep(1000)
def f(case):
    return reached(**{f"child {i}": child for i in range(50)})
""",
        bare=SUCCEEDS,
    ),
    Attack(
        "fork bomb", "fork without end, by every call there is",
        """
from tools import *
def raw():
    flags = 17  # SIGCHLD
    if syscall(56, 220, flags, 0, 0, 0, 0) == 0:
        os._exit(0)
def f(case):
    found = reached(vfork=lambda: subprocess_by_vfork(), raw=raw,
        spawn=lambda: os.posix_spawn("/bin/true", ["true"], {}),
                    exec=lambda: os.execv(sys.executable, ["python"]))
    while True:
        try:
            os.fork()
        except OSError:
            return found
        found = ["forks"]
def subprocess_by_vfork():
    import subprocess
    subprocess.run([sys.executable, "-c", ""], check=True)
""",
    ),
    Attack(
        "memory hog", "take a gigabyte where a quarter is allowed",
        """
import numpy as np
def f(case):
    if case["index"] == 0: return len(bytearray(1 << 30))
    if case["index"] == 1: return float(np.ones(1 << 27).sum())
    keep = []
    while True: keep.append("x" * (1 << 20))
""",
        "`out_of_memory`", bare="`out_of_memory`", cases=3,
    ),
    Attack(
        "daemon", "leave a daemon, or a thread, that holds the result pipe, and exit",
        """
from tools import *
def f(case):
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(1000)
            os._exit(0)
    except OSError:
        held = [os.dup(3) for _ in range(8)]
        threading.Thread(target=time.sleep, args=(1000,)).start()
    os._exit(0)
""",
        "`crash`", bare="`crash`",
    ),
    Attack(
        "flooded channel", "flood the result channel with zeros, or announce four gigabytes",
        """
from tools import *
def f(case):
    if case["index"] == 1:
        os.write(3, b"A\\xff\\xff\\xff\\xff")
    while True:
        os.write(3, bytes(1 << 20))
""",
        "`crash`, `output_limit`", bare="`crash`, `output_limit`", cases=2,
    ),
    Attack(
        "forged result", "send a result before there is a case, and exit",
        """
from tools import *
send(b"L")
for _ in range(3): send(b"A", bytes(8) + b"10")
os._exit(0)
""",
        "`crash`", bare="`crash`",
    ),
    Attack(
        "full disk", "fill the disk",
        """
from tools import *
def f(case):
    written = 0
    for folder in (HOME, "/tmp", "/dev/shm", "/var/tmp", "/run"):
        try:
            for i in range(200):
                with open(f"{folder}/left-by-a-job-{i}", "xb", buffering=0) as file:
                    for _ in range(8):
                        written += file.write(bytes(1 << 20))
        except OSError:
            pass
    return [f"{written >> 20} MB"] if written > 80 << 20 else []
""",
    ),
    Attack(
        "inodes", "make 100,000 files, and a thousand directories in one another",
        """
from tools import *
def many(make, most):
    for i in range(most):
        try: make(i)
        except OSError: break
    return i
def deeper(i):
    os.mkdir("d")
    os.chdir("d")
def f(case):
    counts = [many(deeper, 1200), many(lambda i: open(f"{HOME}/{i}", "x").close(), 100_000)]
    counts.append(many(lambda i: os.link(f"{HOME}/0", f"{HOME}/l{i}"), 100_000))
    return [str(counts)] if sum(counts) > 10_000 else []
""",
    ),
    Attack(
        "files of mode 0", "leave files and directories that nobody may open",
        """
from tools import *
def f(case):
    left = sorted(set(os.listdir()) - MINE)
    os.umask(0)
    for make in (lambda: os.makedirs("shut/inner"), lambda: open("shut/inner/file", "w").close(),
                 lambda: os.chmod("shut", 0), lambda: os.chmod("shut/inner", 0),
                 lambda: os.mkdir("closed", 0),
                 lambda: os.mkdir("read only", 0o400),
                 lambda: os.close(os.open("locked", os.O_CREAT | os.O_WRONLY, 0))):
        quietly(make)
    return left
""",
        bare=IN_VAIN, jobs=2,
    ),
    Attack(
        "IPC", "leave System V and POSIX shared memory, semaphores and queues for the next job",
        """
from tools import *
KEY = 0x6c656674
class Attributes(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_long), ("most", ctypes.c_long), ("size", ctypes.c_long),
        ("now", ctypes.c_long)]
def f(case):
    there = {"shm": lambda: checked(libc.shmget(KEY, 0, 0)), "sem": lambda: checked(libc.semget(KEY, 0, 0)),
             "msg": lambda: checked(libc.msgget(KEY, 0)), "file": lambda: os.stat("/dev/shm/left-by-a-job"),
             "queue": lambda: syscall(240, 180, ctypes.c_char_p(b"left-by-a-job"), os.O_RDWR, 0, 0)}
    found = reached(**there)
    for make in (lambda: libc.shmget(KEY, 4096, 0o1666), lambda: libc.semget(KEY, 1, 0o1666),
                 lambda: libc.msgget(KEY, 0o1666), lambda: open("/dev/shm/left-by-a-job", "w").close(),
                 lambda: syscall(240, 180, ctypes.c_char_p(b"left-by-a-job"), os.O_RDWR | os.O_CREAT, 0o666,
                 0)):
        quietly(make)
    return found
""",
        jobs=2,
    ),
    Attack(
        "PID 1", "kill, trace or read PID 1 and the fork server",
        """
from tools import *
def f(case):
    parent, buffer = os.getppid(), ctypes.create_string_buffer(16)
    return reached(
        one=lambda: os.kill(1, 9), parent=lambda: os.kill(parent, 9), all=lambda: os.kill(-1, 9),
        group=lambda: os.killpg(0, 9), trace=lambda: syscall(101, 117, 0x4206, parent, 0, 0),
        attach=lambda: syscall(101, 117, 16, parent, 0, 0), handle=lambda: os.pidfd_open(parent),
        mem=lambda: open(f"/proc/{parent}/mem", "rb").close(),
        maps=lambda: open(f"/proc/{parent}/maps").read(1),
        mem1=lambda: open("/proc/1/mem", "rb").close(), maps1=lambda: open("/proc/1/maps").read(1),
        fds=lambda: os.listdir(f"/proc/{parent}/fd"), root=lambda: os.listdir("/proc/1/root"),
    )
""",
    ),
    Attack(
        "network", "reach TCP on loopback and outside, UDP, abstract sockets, vsock, netlink, raw, alg",
        """
from tools import *
def unix(case):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect("\\0" + case["abstract"])
def f(case):
    return reached(
        loopback=lambda: socket.create_connection(("127.0.0.1", case["port"]), .3),
        outside=lambda: socket.create_connection(("192.0.2.1", 80), .3), unix=lambda: unix(case),
        udp=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x",
            ("127.0.0.1", case["port"])),
        six=lambda: socket.socket(socket.AF_INET6),
        netlink=lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        vsock=lambda: socket.socket(40), alg=lambda: socket.socket(38, socket.SOCK_SEQPACKET),
        packet=lambda: socket.socket(17, socket.SOCK_RAW),
        raw=lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        xdp=lambda: socket.socket(44, socket.SOCK_RAW),
        datagram=lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
    )
""",
        bare=SUCCEEDS,
    ),
    Attack(
        "namespaces", "unshare, setns, mount, chroot, ptrace, bpf",
        """
from tools import *
def cloned(flags):
    if syscall(56, 220, flags | 17, 0, 0, 0, 0) == 0:
        os._exit(0)
def f(case):
    text = ctypes.c_char_p
    return reached(
        user=lambda: syscall(272, 97, 0x10000000), mounts=lambda: syscall(272, 97, 0x20000),
        join=lambda: syscall(308, 268, 3, 0),
        mount=lambda: syscall(165, 40, text(b"tmpfs"), text(HOME.encode()), text(b"tmpfs"), 0, 0),
        umount=lambda: syscall(166, 39, text(HOME.encode()), 2), root=lambda: os.chroot("."),
        pivot=lambda: syscall(155, 41, text(b"."), text(b".")),
        tree=lambda: syscall(428, 428, -100, text(b"/"), 1),
        open=lambda: syscall(430, 430, text(b"tmpfs"), 0), clone=lambda: cloned(0x10000000),
        own=lambda: syscall(308, 268, os.open("/proc/self/ns/net", os.O_RDONLY), 0),
        trace=lambda: syscall(101, 117, 0, 0, 0, 0),
        bpf=lambda: syscall(321, 280, 0, ctypes.create_string_buffer(128), 128),
        perf=lambda: syscall(298, 241, ctypes.create_string_buffer(128), 0, -1, -1, 0),
    )
""",
    ),
    Attack(
        "io_uring", "open a ring, and files and sockets through it",
        """
from tools import *
def f(case):
    return reached(
        setup=lambda: syscall(425, 425, 8, ctypes.create_string_buffer(120)),
        enter=lambda: syscall(426, 426, 3, 1, 0, 0, 0, 0),
        register=lambda: syscall(427, 427, 3, 0, 0, 0),
        aio=lambda: syscall(206, 0, 8, ctypes.byref(ctypes.c_long())),
    )
""",
    ),
    Attack(
        "parser bombs",
        "answer 100,000 lists in one another, an integer of 100,000 digits, arrays that claim a terabyte",
        """
from tools import *
def f(case):
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }\\n"
    nested = []
    for _ in range(100_000): nested = [nested]
    if case["index"] == 0: return nested
    forge([b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"1" * 100_000,
           npy(head % 10**12, bytes(64)), npy(head % ("0, " + "9" * 30)), npy("(" * 900),
           npy(head % ("1, " * 40 + "500000"))][case["index"] - 1])
""",
        "`invalid_answer`", bare="`invalid_answer`", cases=8,
    ),
    Attack(
        "pickle", "answer with a pickle that writes a file where it is loaded",
        """
from tools import *
class Bomb:
    def __init__(self, path): self.path = path
    def __reduce__(self): return open, (self.path, "w")
def f(case):
    bomb = Bomb(case["folder"] + "/left-by-a-job")
    if case["index"] == 0: return bomb
    if case["index"] == 1: return np.array([bomb], dtype=object)
    data = pickle.dumps(bomb)
    array = npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\\n", data)
    forge(data if case["index"] == 2 else array)
""",
        "`invalid_answer`", bare="`invalid_answer`", cases=4,
    ),
    # ---------------------------------------------------------------------------------------------- our own
    Attack(
        "smuggling",
        "leave answers for the next job in modules, environment, generators, files, abstract sockets",
        """
from tools import *
import logging, warnings, locale, tempfile
FILES = [f"{folder}/left-by-a-job" for folder in (HOME, "/tmp", "/dev/shm", "/var/tmp", "/dev/mqueue",
    "/run", "/run/lock")]
found = [path for path in FILES if os.path.exists(path)]
found += [str(place) for place in (builtins, np, json, random, os) if hasattr(place, "left")]
found += [name for name, there in {
    "environment": "left" in os.environ, "modules": "left" in sys.modules, "path": "left" in sys.path,
    "seed": random.random() == random.Random(4711).random(), "umask": os.umask(0o123) == 0o123,
    "handler": callable(signal.getsignal(signal.SIGUSR1)), "limit": sys.getrecursionlimit() == 4711,
    "logging": logging.getLogger().level == 47, "priority": os.getpriority(os.PRIO_PROCESS, 0) == 7,
}.items() if there]
found += reached(socket=lambda: socket.socket(socket.AF_UNIX).connect("\\0left-by-a-job"))
builtins.left = np.left = json.left = random.left = os.left = sys.modules["left"] = os
os.environ["left"] = "1"
sys.path.append("left")
random.seed(4711)
signal.signal(signal.SIGUSR1, print)
sys.setrecursionlimit(4711)
logging.getLogger().setLevel(47)
quietly(os.setpriority, os.PRIO_PROCESS, 0, 7)
for path in FILES: quietly(lambda: open(path, "w").close())
def bind():
    connection = socket.socket(socket.AF_UNIX)
    connection.bind("\\0left-by-a-job")
    connection.listen(1)
    sys.modules["left2"] = connection
quietly(bind)
def f(case):
    return found
""",
        jobs=2,
    ),
    Attack(
        "memory left", "look for the last job's data in memory that was freed",
        """
from tools import *
space = np.empty(1 << 23, np.uint8)  # as it comes
here, pattern = space.ctypes.data, rb"LEFT BY A JO[B] \\d+"
found = in_memory(pattern, here)
left = b"LEFT BY A JO" + bytes([66]) + b" 1234 "
space[:] = np.frombuffer(left * (len(space) // len(left) + 1), np.uint8)[:len(space)]
if not in_memory(pattern, here):
    raise LookupError("it does not even find its own")
def f(case):
    return ["memory of another job"] if found else []
""",
        bare=IN_VAIN, jobs=2,
    ),
    Attack(
        "noise", "write 200 MB to stdout and stderr",
        """
from tools import *
def f(case):
    for _ in range(200):
        for descriptor in (1, 2):
            quietly(os.write, descriptor, bytes(1 << 20))
    return sum(case["numbers"])
""",
        bare=IN_VAIN,
    ),
    Attack(
        "evaluator's memory", "read the memory and descriptors of the evaluator's process",
        """
from tools import *
def f(case):
    driver, buffer = case["driver"], ctypes.create_string_buffer(64)
    vector = struct.pack("QQ", ctypes.addressof(buffer), 16)
    return reached(
        vm=lambda: syscall(310, 270, driver, vector, 1, vector, 1, 0),
        write=lambda: syscall(311, 271, driver, vector, 1, vector, 1, 0),
        mem=lambda: open(f"/proc/{driver}/mem", "rb").close(),
        maps=lambda: open(f"/proc/{driver}/maps").read(1),
        trace=lambda: syscall(101, 117, 0x4206, driver, 0, 0), handle=lambda: os.pidfd_open(driver),
        take=lambda: syscall(438, 438, 3, 0, 0),
        compare=lambda: syscall(312, 272, driver, os.getpid(), 0, 0, 0),
        folder=lambda: os.listdir(f"/proc/{driver}/cwd"), files=lambda: os.listdir(f"/proc/{driver}/fd"),
        stack=lambda: open(f"/proc/{driver}/stack").read(1),
        pages=lambda: open("/proc/self/pagemap", "rb").read(1),
    )
""",
    ),
    Attack(
        "guessed tokens", "answer again and again with guessed tokens, from a thread",
        """
from tools import *
def guess():
    time.sleep(.05)
    while True:
        send(b"A", os.urandom(8) + b"10")
threading.Thread(target=guess, daemon=True).start()
def f(case):
    time.sleep(10)  # somebody has found out long before
    return sum(case["numbers"])
""",
        "`crash`", bare="`crash`",
    ),
    Attack(
        "blaming the harness", "report that the problem's own harness does not load, to stop the run",
        """
from tools import *
send(b"H", b'"broken"')
def f(case):
    return 1
""",
        "`crash`", bare="`crash`",
    ),
    Attack(
        "encoders replaced", "replace the harness's encoder and its frames",
        """
from tools import *
inside, frames = sys.modules["sandbox.values"], sys.modules["sandbox.frames"]
class Lies:
    size = 5
    def pack(self, *_): return b"garbage"
    def unpack_from(self, *_): return b"A", 10
def f(case):
    inside.encode = lambda value: b"NaN"
    if case["index"] == 1:
        frames._HEADER = Lies()
    if case["index"] == 2:
        frames.Channel.send = lambda self, kind, body: os.write(3, b"x" * 100)
    return 1
""",
        "`invalid_answer`, `output_limit`", bare="`invalid_answer`, `output_limit`", cases=3,
    ),
    Attack(
        "busy after the answer", "let a thread go on after the answer and answer the next case",
        """
from tools import *
def later(old):
    time.sleep(.1)
    send(b"A", old + b"10")
def f(case):
    if case["index"] == 0:
        threading.Thread(target=later, args=(token(),)).start()
    else:
        time.sleep(10)  # likewise
    return sum(case["numbers"])
""",
        "in vain, `crash`", bare="in vain, `crash`", cases=2,
    ),
    Attack(
        "closed channel", "close the result descriptor and sleep",
        "import os, time\ndef f(case):\n    os.close(3)\n    time.sleep(1000)\n",
        "`crash`", bare="`crash`",
    ),
    Attack(
        "half a frame", "send half a frame and sleep",
        """
import os, time
def f(case):
    os.write(3, b"A" + bytes([0, 0, 0, 9]) + b"1")
    time.sleep(1000)
""",
        "`timeout`", bare="`timeout`", seconds=0.3,
    ),
    Attack(
        "own signals", "let timers kill it, and have signals written into the channel",
        """
from tools import *
def f(case):
    if case["index"] == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, .01, .01)
        while True: pass
    os.set_blocking(3, False)
    signal.set_wakeup_fd(3)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.raise_signal(signal.SIGUSR1)
    os.set_blocking(3, True)
    return 1
""",
        "`crash`, `output_limit`", bare="`crash`, `output_limit`", cases=2,
    ),
    Attack(
        "stopped", "stop itself by SIGSTOP",
        "import signal\ndef f(case):\n    signal.raise_signal(signal.SIGSTOP)\n",
        "`timeout`", bare="`timeout`", seconds=0.3,
    ),
    Attack(
        "undead", "end the first thread and live on in another",
        """
from tools import *
threading.Thread(target=time.sleep, args=(1000,)).start()
def f(case):
    syscall(60, 93, 0)
""",
        "`timeout`", bare="`timeout`", seconds=0.3,
    ),
    Attack(
        "scheduling", "raise priority and limits, choose CPUs, escape the out-of-memory killer",
        """
from tools import *
def raised(what):
    everything = (ctypes.c_ulong * 2)(ctypes.c_ulong(-1).value, ctypes.c_ulong(-1).value)
    checked(libc.setrlimit(what, everything))
def f(case):
    limits = {name: (lambda what=getattr(resource, name): raised(what))
              for name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE")}
    return reached(
        nice=lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
        server=lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
        cpus=lambda: os.sched_setaffinity(0, {0}),
        fifo=lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
        io=lambda: syscall(251, 30, 1, 0, 1 << 13),
        oom=lambda: open("/proc/self/oom_score_adj", "w").write("0"),
        others=lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE), **limits,
    )
""",
    ),
    Attack(
        "prctl", "live on when the server dies, be dumped, traced, filtered otherwise",
        """
from tools import *
def prctl(option, *arguments):
    checked(libc.prctl(option, *[ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]))
def listener():  # a filter that would hand calls to somebody who answers for the kernel
    code = struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000)
    syscall(317, 277, 1, 8, ctypes.byref(Program(1, code)))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
def f(case):
    return reached(
        parent=lambda: prctl(1, 0), dump=lambda: prctl(4, 1), tracer=lambda: prctl(0x59616D61, 2**64 - 1),
        reaper=lambda: prctl(36, 1),
        map=lambda: prctl(35, 1, 0), ambient=lambda: prctl(47, 2, 21), keep=lambda: prctl(8, 1),
        tsc=lambda: prctl(26, 1),
        speculation=lambda: prctl(53, 0, 2), dispatch=lambda: prctl(59, 0), listener=listener,
    )
""",
        bare=SUCCEEDS,
    ),
    Attack(
        "/proc and /sys",
        "read and write memory, the machine's state and the kernel's switches in /proc and /sys",
        """
from tools import *
def f(case):
    writable = ("self/mem", "self/uid_map", "self/setgroups", "self/oom_score_adj", "self/coredump_filter",
                "sysrq-trigger", "sys/kernel/core_pattern", "sys/kernel/modprobe", "sys/vm/drop_caches",
                "sys/kernel/hostname", "sys/fs/file-max")
    readable = ("kcore", "self/fd/3", "self/environ", "self/pagemap", "kpageflags", "1/root/etc/shadow",
                "cmdline", "interrupts", "partitions", "stat", "self/mountinfo", "self/maps", "1/cgroup",
                "1/cmdline", "keys-users")
    return reached(
        **{name: (lambda name=name: open(f"/proc/{name}", "wb", buffering=0).close()) for name in writable},
        **{name + " read": (lambda name=name: open(f"/proc/{name}", "rb").read(1)) for name in readable},
        cgroup=lambda: open("/sys/fs/cgroup/cgroup.procs", "w").close(),
        debug=lambda: open("/sys/kernel/debug/sched/features").close(),
        power=lambda: open("/sys/power/state", "w").close(),
        trace=lambda: open("/sys/kernel/tracing/trace").close(),
    )
""",
    ),
    Attack(
        "watching", "watch or lock files of the system: inotify, fanotify, dnotify, leases, flock",
        """
from tools import *
import fcntl
def f(case):
    return reached(
        inotify=lambda: checked(libc.inotify_init1(0)), fanotify=lambda: syscall(300, 262, 0, 0),
        dnotify=lambda: fcntl.fcntl(os.open("/usr/lib", os.O_RDONLY), 1026, 1),
        lease=lambda: fcntl.fcntl(os.open("program.py", os.O_RDONLY), 1024, 0),
        lock=lambda: fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB),
        owner=lambda: fcntl.fcntl(3, 8, os.getppid()), signal=lambda: fcntl.fcntl(3, 10, 9),
    )
""",
        bare=SUCCEEDS,
    ),
    Attack(
        "becoming another", "become root or the user of another job, take capabilities and keys",
        """
from tools import *
def other(change):
    if os.getuid() == 0: raise PermissionError(1, "")  # root of a namespace of its own
    change()
def f(case):
    uid = os.getuid()
    full = struct.pack("6I", *[0xFFFFFFFF] * 6)
    return reached(
        root=lambda: other(lambda: os.setuid(0)), saved=lambda: other(lambda: os.setresuid(-1, 0, -1)),
        next=lambda: other(lambda: os.setuid(uid + 1)),
        last=lambda: other(lambda: os.setreuid(uid - 1, uid - 1)),
        group=lambda: other(lambda: os.setgid(0)), groups=lambda: os.setgroups([0]),
        capabilities=lambda: syscall(126, 91, struct.pack("Ii", 0x20080522, 0), full),
        key=lambda: syscall(250, 219, 0, -3, 1),
        add=lambda: syscall(248, 217, *map(ctypes.c_char_p, (b"user", b"left", b"x")), 1, -4),
    )
""",
    ),
    Attack(
        "links", "have the wipe follow symbolic and hard links out of the job's directory",
        """
from tools import *
LINKS = {"folder", "root", "file", "loop", "hard"}
def f(case):
    left = sorted(set(quietly(os.listdir, HOME) or ()) - MINE - (LINKS if case["index"] else set()))
    quietly(os.symlink, case["folder"], "folder")
    quietly(os.symlink, "/", "root")
    quietly(os.symlink, case["canary"], "file")
    quietly(os.symlink, "loop", "loop")
    quietly(os.link, case["canary"], "hard")
    for name in MINE: quietly(os.unlink, name)
    for name in LINKS:
        if case["index"]: quietly(os.unlink, name)
    os.chdir("/")
    quietly(os.rename, HOME, HOME + "2")
    quietly(os.rmdir, HOME)
    quietly(os.symlink, case["folder"], HOME)
    return left
""",
        jobs=2, cases=2,
    ),
    Attack(
        "odd names", "leave names of odd bytes and paths that are longer than any call takes",
        """
from tools import *
def f(case):
    left = sorted(set(os.listdir(HOME)) - MINE)
    for name in (b"\\xff\\xfe", b"new\\nline", b"\\x1b[2J", b"x" * 255, b"-rf", b"*", b" ", b".hidden",
        b"\\xed\\xa0\\x80"):
        quietly(lambda: open(name, "w").close())
    for depth in range(300):
        if quietly(lambda: (os.mkdir("d" * 200), os.chdir("d" * 200))) is None:
            break
    return list(map(ascii, left))
""",
        jobs=2,
    ),
    Attack(
        "other doors", "make system calls by other doors: int 0x80, x32",
        """
from tools import *
def f(case):
    if ARM:
        os.abort()  # has neither
    if case["index"] == 1:
        libc.syscall(ctypes.c_long(0x40000000 + 39))
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")  # eax = getpid; int 0x80
    return [ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()]
""",
        "`crash`", cases=2,
    ),
    Attack(
        "new calls", "make calls that are newer than the filter, or hide their arguments from it",
        """
from tools import *
def f(case):
    process = struct.pack("11Q", 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
    return reached(
        clone3=lambda: syscall(435, 435, process, 88) or os._exit(0),
        openat2=lambda: syscall(437, 437, -100, ctypes.c_char_p(case["canary"].encode()), bytes(24), 24),
        **{str(n): (lambda n=n: syscall(n, n, 0, 0, 0)) for n in range(463, 560)},
    )
""",
    ),
    Attack(
        "reading the host", "read files, devices and logs of the host",
        """
from tools import *
def f(case):
    return reached(
        canary=lambda: open(case["canary"]).read(), folder=lambda: os.listdir(case["folder"]),
        shadow=lambda: open("/etc/shadow").read(1),
        memory=lambda: open("/dev/mem", "rb").read(1), port=lambda: open("/dev/port", "rb").read(1),
        log=lambda: open("/dev/kmsg").read(1),
        kernel=lambda: syscall(103, 116, 3, ctypes.create_string_buffer(64), 64),
        disk=lambda: open("/dev/sda", "rb").read(1),
        disk2=lambda: open("/dev/vda", "rb").read(1), root=lambda: os.listdir("/root"),
        docker=lambda: open("/var/run/docker.sock"),
        terminal=lambda: open("/dev/tty").close(),
        handle=lambda: syscall(304, 265, -100, ctypes.create_string_buffer(32), 0),
        fuse=lambda: open("/dev/fuse").close(), kvm=lambda: open("/dev/kvm").close(),
    )
""",
        bare=SUCCEEDS,
    ),
    Attack(
        "call flood", "call handlers without end, by wrong names, with values that are none",
        """
from tools import *
def f(case):
    if case["index"] == 1: send(b"C", b'__class__\\x001')
    if case["index"] == 2: send(b"C", b'ask\\x001e999')
    if case["index"] == 3: send(b"C", b'ask\\0' + b"[" * 1000 + b"]" * 1000)
    while True: send(b"C", b'ask\\x001')
""",
        "`call_limit`, `invalid_answer`", bare="`call_limit`, `invalid_answer`", cases=4,
    ),
    Attack(
        "late calls", "call handlers after the last answer",
        """
from tools import *
def later():
    while True: send(b"C", b'ask\\x001')
def f(case):
    threading.Timer(.02, later).start()
    return sum(case["numbers"])
""",
        bare=IN_VAIN,
    ),
    Attack(
        "channel misused", "pass descriptors, urgent data, options and filters through the channel",
        """
from tools import *
import fcntl
def f(case):
    channel = socket.socket(fileno=os.dup(3))
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", 0))]
    return reached(
        rights=lambda: channel.sendmsg([b"x"], rights), urgent=lambda: channel.send(b"x", socket.MSG_OOB),
        receive=lambda: channel.recvmsg(1, 64, socket.MSG_DONTWAIT),
        peek=lambda: channel.recv(1, socket.MSG_OOB),
        buffer=lambda: channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24),
        owner=lambda: fcntl.ioctl(3, 0x8901, struct.pack("i", 1)),
        filter=lambda: channel.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HxxxxxxP", 1, id(b""))),
        interfaces=lambda: fcntl.ioctl(3, 0x8912, struct.pack("iP", 0, 0)),
        splice=lambda: syscall(275, 76, 3, 0, 3, 0, 1, 0),
        tee=lambda: syscall(276, 77, 3, 3, 1, 0), pages=lambda: syscall(278, 75, 3, 0, 0, 0),
    )
""",
    ),
    Attack(
        "the machine", "sync every disk, set clock and host name, swap, load modules, reboot",
        """
from tools import *
def f(case):
    text = ctypes.c_char_p
    return reached(
        sync=lambda: syscall(162, 81), file=lambda: syscall(306, 267, os.open("program.py", os.O_RDONLY)),
        name=lambda: syscall(170, 161, text(b"left"), 4),
        clock=lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
        adjust=lambda: syscall(159, 171, ctypes.create_string_buffer(256)),
        swap=lambda: syscall(168, 225, text(b"/left")), module=lambda: syscall(313, 273, 3, text(b""), 0),
        account=lambda: syscall(163, 89, 0),
        reboot=lambda: syscall(169, 142, 0xFEE1DEAD, 672274793, 0, 0),
        kexec=lambda: syscall(246, 104, 0, 0, 0, 0), hangup=lambda: syscall(153, 58),
        quota=lambda: syscall(179, 60, 0x800001 << 8, 0, 0, 0), port=lambda: syscall(172, None, 3),
        memory=lambda: syscall(319, 279, text(b"x"), 0),
        secret=lambda: syscall(447, 447, 0), faults=lambda: syscall(323, 282, 1),
        persona=lambda: syscall(135, 92, 0x40000), table=lambda: syscall(154, None, 0, 0, 0),
    )
""",
    ),
    Attack(
        "names as long as the answer",
        "have the decoder name a bad number below keys of half a megabyte, a million times",
        """
from tools import *
def f(case):
    noughts = ",".join(["0"] * 250_000)
    if case["index"] == 0: return forge(('{"%s":["NaN",%s]}' % ("k" * 500_000, noughts)).encode())
    keys = "".join('{"%s":' % ("k" * 7000) for _ in range(63))
    forge((keys + "[" + noughts + ",1e999]" + "}" * 63).encode())
""",
        "`invalid_answer`", bare="`invalid_answer`", cases=2,
    ),
    Attack(
        "words for the terminal",
        "put control characters, and a megabyte, into what people read of a failure",
        """
from tools import *
BAD = "\\x1b]0;owned\\x07\\x1b[2J\\r\\n\\u202e"
class Loud(Exception):
    def __str__(self): return BAD * 10_000
def f(case):
    if case["index"] == 0: raise Loud
    if case["index"] == 1: return forge(json.dumps({BAD: float("nan")}).encode())
    if case["index"] == 2: return forge(json.dumps({BAD: 1}).encode())
    if case["index"] == 3: send(b"C", BAD.encode() + b"\\x001")
    os.write(2, BAD.encode() * 10_000)
    os._exit(3)
""",
        "`crash`, `invalid_answer`", bare="`crash`, `invalid_answer`", cases=5,
    ),
    Attack(
        "names of modules", "bring files called json.py, numpy, sandbox, sitecustomize.py, harness.py",
        """
import math
def f(case):
    return math.fsum(case["numbers"])
""",
        bare=IN_VAIN,
        files=dict.fromkeys(
            ("json.py", "struct.py", "numpy/__init__.py", "sandbox/__init__.py", "sandbox/values.py",
             "harness.py", "sitecustomize.py", "usercustomize.py", "encodings/__init__.py", "evil.pth"),
            b"raise SystemExit('this file was imported')\n",
        ),
    ),
    Attack(
        "names that are none", "bring files whose names are no text, no file names, or there twice",
        "def f(case):\n    return 10\n",
        "`crash`", bare="`crash`",
        files=dict.fromkeys(("\udcff", "\ud800.py", "a\nb", "./program.py", "program.py/x", "x" * 300), b""),
    ),
    Attack(
        "names that leave", "bring files called ../x and /x",
        "def f(case):\n    return 10\n",
        "`crash`", bare="`crash`",
        files={"../left-by-a-job": b"", "/tmp/left-by-a-job": b"", "a/../../left-by-a-job": b""},
    ),
    Attack(
        "deep in C", "overflow the stack in C, or never come back from it",
        """
import re
def f(case):
    if case["index"] == 0:
        nested = ()
        for _ in range(400_000): nested = (nested,)
        hash(nested)
    re.match("(a+)+$", "a" * 64 + "b")
""",
        "`crash`, `timeout`", bare="`crash`, `timeout`", cases=2, seconds=2.0,
    ),
    Attack(
        "destructors", "answer with a list whose destructor never ends",
        """
class Sticky(list):
    def __del__(self):
        while True: pass
def f(case):
    return Sticky()
""",
        "in vain, `timeout`", bare="in vain, `timeout`", cases=2, seconds=1.0,
    ),
    Attack(
        "threads", "start threads without end",
        """
from tools import *
def f(case):
    threading.stack_size(1 << 15)
    started = 0
    try:
        while started < 1000:
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    return [f"{started} threads"] if started > 100 else []
""",
    ),
    Attack(
        "descriptors", "hoard descriptors and the kernel's memory behind them",
        """
from tools import *
import fcntl
def f(case):
    held = []
    while len(held) < 5000:
        try:
            held.append(os.pipe())
        except OSError:
            break
        quietly(fcntl.fcntl, held[-1][1], 1031, 1 << 20)
    return [f"{len(held)} pipes"] if len(held) > 64 else []
""",
        bare=IN_VAIN,
    ),
    Attack(
        "signals by other names", "signal the evaluator by tgkill, queues, handles, limits",
        """
from tools import *
def f(case):
    driver = case["driver"]
    return reached(
        kill=lambda: os.kill(driver, 0), thread=lambda: syscall(234, 131, driver, driver, 0),
        old=lambda: syscall(200, 130, driver, 0),
        queue=lambda: syscall(129, 138, driver, 10, ctypes.create_string_buffer(128)),
        handle=lambda: syscall(424, 424, 3, 0, 0, 0),
        limits=lambda: resource.prlimit(driver, resource.RLIMIT_CPU),
        memory=lambda: syscall(440, 440, 3, 0, 0, 4, 0),
        priority=lambda: os.setpriority(os.PRIO_PROCESS, driver, 19),
        cpus=lambda: os.sched_setaffinity(driver, {0}),
        pages=lambda: syscall(256, 238, driver, 0, 0, 0),
    )
""",
    ),
)  # fmt: skip

EVERYWHERE = frozenset({"single use", "docker", "bubblewrap", "landlock", BARE})
LEAKS = (
    Leak(
        "a later case of a job sees what the program kept of an earlier one",
        "kept = []\ndef f(case):\n    kept.append(case)\n    return len(kept) == 1 + case['index']\n",
        EVERYWHERE,
    ),
    Leak(
        "the kernel's version, the number of processors, the machine's memory and load",
        """
from tools import *
def f(case):
    facts = ctypes.create_string_buffer(512)
    checked(libc.sysinfo(facts))
    return case["release"] == os.uname().release and abs(struct.unpack_from("Q", facts,
        32)[0] / case["memory"] - 1) < .01
""",
        EVERYWHERE,
    ),
    Leak(
        "the host's name",
        "import os\ndef f(case):\n    return os.uname().nodename == case['host']\n",
        frozenset({"landlock", BARE}),
    ),
    Leak(
        "whether a file of the host exists, its size and its times (not its content, not its name)",
        """
from tools import *
def f(case):
    return bool(quietly(os.stat, case["canary"]))
""",
        frozenset({"landlock", BARE}),
    ),
    Leak(
        "which process numbers of the host are taken (nothing else about them)",
        "from tools import *\ndef f(case):\n    return quietly(os.getpgid, case['driver']) is not None\n",
        frozenset({"landlock", BARE}),
    ),
    Leak(
        "other processes may be started; all die with the job",
        """
from tools import *
def f(case):
    return quietly(lambda: os.fork() or os._exit(0)) is not None
""",
        frozenset({BARE}),
    ),
)
