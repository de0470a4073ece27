"""A seccomp filter for one program: the system calls that a pure computation never needs do not exist.

A deny list, in pure ctypes, stacked on whatever filter is there already (the strictest answer wins). It
closes processes (threads stay), signals to others, sockets, System V and POSIX IPC, tracing, namespaces and
mounts, io_uring, kernel keys, and every change of metadata that Landlock does not cover. A job's channel has
plain sending and receiving left, prctl and ioctl what libraries use of them. x86_64 and aarch64.

The profile `compat` lets a job start processes, execute files, signal all but the fork server, and have pairs
of sockets: where something else (a PID namespace, a user of its own) sees to it that none is left or reached.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence
from functools import lru_cache

from sandbox import kernel

_Numbers = tuple[int | None, int | None]

# name: (x86_64, aarch64); None where that machine never had it
DENIED: dict[str, _Numbers] = {
    # the network, and descriptors of others
    "socket": (41, 198), "socketpair": (53, 199), "bind": (49, 200), "connect": (42, 203),
    "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242), "setsockopt": (54, 208),
    "sendmsg": (46, 211), "recvmsg": (47, 212), "sendmmsg": (307, 269), "recvmmsg": (299, 243),
    # processes: clone is looked at by its flags below
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # signals to others: tgkill is looked at by its target below
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    # reaching into others
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "setpriority": (141, 140),
    "sched_setaffinity": (203, 122), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    # memory that outlives a process
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197),
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
    "mq_open": (240, 180), "mq_unlink": (241, 181), "mq_timedsend": (242, 182), "mq_timedreceive": (243, 183),
    "mq_notify": (244, 184), "mq_getsetattr": (245, 185),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # ways around a filter, and large kernel surfaces
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_setup": (206, 0), "io_submit": (209, 2), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "splice": (275, 76), "tee": (276, 77), "vmsplice": (278, 75), "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444), "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "fanotify_init": (300, 262),
    "modify_ldt": (154, None), "personality": (135, 92), "lookup_dcookie": (212, 18),
    # namespaces, mounts, the machine
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "chroot": (161, 51),
    "pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "syslog": (103, 116),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266),
    "adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162),
    "iopl": (172, None), "ioperm": (173, None), "vhangup": (153, 58),
    "sync": (162, 81), "syncfs": (306, 267),  # every disk of the machine would wait for it
    "flock": (73, 32),  # a file of the system that is open for reading could be locked against its owner
    # changes to files that need no open, so that Landlock does not see them (the first two ABIs: truncate)
    "truncate": (76, 45), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53),
    "fchmodat2": (452, 452), "chown": (92, None), "lchown": (94, None), "fchown": (93, 55),
    "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "utimensat": (280, 88), "futimesat": (261, None), "setxattr": (188, 5),
    "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "mknod": (133, None), "mknodat": (259, 33),
}  # fmt: skip
# what the fork server itself needs, and a job must not have
SERVER_USES = frozenset(
    {"fork", "vfork", "kill", "pidfd_open", "mount", "umount2", "chmod", "fchmod", "fchmodat", "fchmodat2"}
    | {"chown", "fchownat", "recvmsg", "sendmsg", "landlock_create_ruleset", "landlock_add_rule"}
    | {"landlock_restrict_self"}
)
# what a job may do as well where it may start processes; `kill` and `tkill` by their target, `socketpair` by
# its family; modes and times are its own files' only, as it has a user or a read-only view of its own
COMPAT = frozenset(
    {"fork", "vfork", "execve", "pidfd_open", "kill", "tkill", "socketpair", "sendmsg", "recvmsg", "truncate"}
    | {"chmod", "fchmod", "fchmodat", "fchmodat2", "utime", "utimes", "utimensat", "futimesat"}
)
_BY_TARGET = ("kill", "tkill")
_CLONE: _Numbers = (56, 220)
_TGKILL: _Numbers = (234, 131)
_PRLIMIT: _Numbers = (302, 261)
_FCNTL: _Numbers = (72, 25)
_IOCTL: _Numbers = (16, 29)
_OPEN: _Numbers = (2, None)
_OPENAT: _Numbers = (257, 56)
_PRCTL: _Numbers = (157, 167)
_SENDTO: _Numbers = (44, 206)
_RECVFROM: _Numbers = (45, 207)
# Their arguments lie in memory, where a filter cannot look: absent, as in an old kernel; callers fall back.
_ABSENT = {"clone3": 435, "openat2": 437}
NEWEST = 462  # the last call that this list was written for (Linux 6.10); later ones are absent
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _EQUAL, _GREATER, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_DENY, _PRETEND_OLD = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS
_ANYBODY = 0x7FFFFFFF  # stands for a pid until it is known; no process has it
_CLONE_THREAD, _NEW_NAMESPACES, _AF_UNIX = 0x00010000, 0x7E020080, 1
_ACCMODE_AND_TRUNC, _TRUNC = 0o1003, 0o1000
# F_SETOWN, F_SETSIG, F_SETOWN_EX: signals by another name; F_SETLEASE, F_NOTIFY: what others do with files
_FCNTLS_DENIED = (8, 10, 15, 1024, 1026)
# FIONBIO, FIOCLEX, FIONCLEX, FIONREAD, TCGETS, TCGETS2, TIOCGWINSZ; any socket could list the interfaces
_IOCTLS_ALLOWED = (0x5421, 0x5451, 0x5450, 0x541B, 0x5401, 0x802C542A, 0x5413)
# PR_SET_NAME, PR_GET_NAME, PR_SET_VMA: not its death with its parent, nor who may trace it or dump its memory
_PRCTLS_ALLOWED = (15, 16, 0x53564D41)
_MESSAGE_FLAGS_DENIED = 0xFFFFBEBD  # all but PEEK, DONTWAIT, WAITALL, NOSIGNAL; MSG_OOB above all


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, value)


def _argument(index: int) -> bytes:
    """Load the low half of an argument."""
    return _instruction(_LOAD, 16 + 8 * index)


def _answer(value: int) -> bytes:
    return _instruction(_RETURN, value)


def _only(number: int | None, body: Sequence[bytes]) -> list[bytes]:
    """`body`, which must end in an answer, for one call; the call's number is loaded before and after."""
    if number is None:
        return []
    return [_instruction(_EQUAL, number, no=len(body)), *body]


def _deny_values(argument: int, values: Sequence[int]) -> list[bytes]:
    tests = [_instruction(_EQUAL, value, yes=len(values) - i) for i, value in enumerate(values)]
    return [_argument(argument), *tests, _answer(_ALLOW), _answer(_DENY)]


def _allow_values(argument: int, values: Sequence[int]) -> list[bytes]:
    tests = [_instruction(_EQUAL, value, yes=len(values) - i) for i, value in enumerate(values)]
    return [_argument(argument), *tests, _answer(_DENY), _answer(_ALLOW)]


def common(machine: str | None = None, compat: bool = False) -> bytes:
    """The larger filter, as BPF: entered by the fork server itself, inherited by every job at no cost.

    `compat`: jobs may start processes. Raises OSError where the machine is neither x86_64 nor aarch64.
    """
    machine = machine or os.uname().machine
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, f"no seccomp filter for {machine}")
    column, audit = MACHINES[machine]
    code = [
        _instruction(_LOAD, 4),  # another architecture's numbers would mean other calls
        _instruction(_EQUAL, audit, yes=1),
        _answer(_KILL),
        _instruction(_LOAD, 0),
    ]
    if machine == "x86_64":
        code += [_instruction(_GREATER, 0x3FFFFFFF, no=1), _answer(_KILL)]  # the x32 ABI
    code += [_instruction(_GREATER, NEWEST, no=1), _answer(_PRETEND_OLD)]
    for absent in _ABSENT.values():
        code += _only(absent, [_answer(_PRETEND_OLD)])
    code += _only(_PRLIMIT[column], [
        _argument(0), _instruction(_EQUAL, 0, no=1), _answer(_ALLOW), _answer(_DENY),
    ])  # fmt: skip
    code += _only(_FCNTL[column], _deny_values(1, _FCNTLS_DENIED))
    for number, flags in ((_OPEN[column], 1), (_OPENAT[column], 2)):
        # read-only with O_TRUNC empties a file, which Landlock before ABI 3 lets pass
        code += _only(number, [
            _argument(flags), _instruction(_AND, _ACCMODE_AND_TRUNC),
            _instruction(_EQUAL, _TRUNC, no=1), _answer(_DENY), _answer(_ALLOW),
        ])  # fmt: skip
    if compat:
        code += _only(DENIED["socketpair"][column], [
            _argument(0), _instruction(_EQUAL, _AF_UNIX, no=1), _answer(_ALLOW), _answer(_DENY),
        ])  # fmt: skip
    for name, pair in DENIED.items():
        if name not in SERVER_USES and not (compat and name in COMPAT):
            code += _only(pair[column], [_answer(_DENY)])
    return b"".join([*code, _answer(_ALLOW)])


def last(pid: int, machine: str | None = None, compat: bool = False) -> bytes:
    """The smaller filter, which a job adds; `pid`: its own, the only one that it may signal.

    `compat`: it may start processes, and `pid` is the fork server, the only one that it may not signal.
    """
    anybody = _last_of_anybody(machine or os.uname().machine, compat)
    return anybody.replace(_is_pid(_ANYBODY), _is_pid(pid))


def _is_pid(pid: int) -> bytes:
    return _instruction(_EQUAL, pid, no=1)


@lru_cache  # made by the server: a job only puts its pid in
def _last_of_anybody(machine: str, compat: bool) -> bytes:
    column, _ = MACHINES[machine]
    code = [_instruction(_LOAD, 0)]
    if compat:
        code += _only(_CLONE[column], [
            _argument(0), _instruction(_ANY_BIT, _NEW_NAMESPACES, no=1), _answer(_DENY), _answer(_ALLOW),
        ])  # fmt: skip
        for target in (_TGKILL[column], *(DENIED[name][column] for name in _BY_TARGET)):
            code += _only(target, [
                _argument(0), _is_pid(_ANYBODY), _answer(_DENY), _answer(_ALLOW),
            ])  # fmt: skip
    else:
        code += _only(_CLONE[column], [  # threads, and nothing else
            _argument(0), _instruction(_ANY_BIT, _NEW_NAMESPACES, yes=2),
            _instruction(_ANY_BIT, _CLONE_THREAD, no=1), _answer(_ALLOW), _answer(_DENY),
        ])  # fmt: skip
        # abort() raises its signal by tgkill to itself: allowed, so that a crash is reported as what it was
        code += _only(_TGKILL[column], [
            _argument(0), _is_pid(_ANYBODY), _answer(_ALLOW), _answer(_DENY),
        ])  # fmt: skip
    code += _only(_IOCTL[column], _allow_values(1, _IOCTLS_ALLOWED))
    code += _only(_PRCTL[column], _allow_values(0, _PRCTLS_ALLOWED))
    for number in (_SENDTO[column], _RECVFROM[column]):
        code += _only(number, [
            _argument(3), _instruction(_ANY_BIT, _MESSAGE_FLAGS_DENIED, no=1), _answer(_DENY),
            _answer(_ALLOW),
        ])  # fmt: skip
    for name in sorted(SERVER_USES - COMPAT if compat else SERVER_USES):
        code += _only(DENIED[name][column], [_answer(_DENY)])
    return b"".join([*code, _answer(_ALLOW)])


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def install(filter: bytes) -> None:
    """Put this thread and what it starts under a filter, for good. Raises OSError where there is none."""
    program = _Program(len(filter) // 8, filter)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.check(kernel.libc.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0), "seccomp")
