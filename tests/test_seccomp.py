"""The filter as a program, interpreted here as the kernel would, for both machines; and its numbers."""

import re
import struct
from pathlib import Path

import pytest

from sandbox import seccomp

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CALLS = {  # not denied as such, and needed by every program
    "x86_64": {"read": 0, "write": 1, "mmap": 9, "exit_group": 231, "clone": 56, "tgkill": 234,
               "prlimit64": 302, "fcntl": 72, "ioctl": 16, "openat": 257, "futex": 202, "prctl": 157,
               "sendto": 44, "recvfrom": 45},
    "aarch64": {"read": 63, "write": 64, "mmap": 222, "exit_group": 94, "clone": 220, "tgkill": 131,
                "prlimit64": 261, "fcntl": 25, "ioctl": 29, "openat": 56, "futex": 98, "prctl": 167,
                "sendto": 206, "recvfrom": 207},
}  # fmt: skip
PID = 4711


def verdict(machine, number, *arguments, audit=None, compat=False):
    """The strictest answer of both filters, as the kernel takes it; `compat`: with PID as the fork server."""
    data = struct.pack("<iIQ6Q", number, audit or AUDIT[machine], 0, *arguments, *[0] * (6 - len(arguments)))
    filters = seccomp.common(machine, compat), seccomp.last(PID, machine, compat)
    answers = [interpret(code, data) for code in filters]
    return min(answers, key=[KILL, EPERM, ENOSYS, ALLOW].index)


def interpret(code, data):
    """Run a filter on one call: classic BPF, the six instructions that these use."""
    instructions = list(struct.iter_unpack("<HBBI", code))
    at, accumulator = 0, 0
    while True:
        operation, yes, no, value = instructions[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x06:
            return value
        else:
            true = {0x15: accumulator == value, 0x25: accumulator > value, 0x45: bool(accumulator & value)}
            at += yes if true[operation] else no


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request):
    return request.param


def test_every_denied_call_is_denied(machine):
    column = seccomp.MACHINES[machine][0]
    for name, pair in seccomp.DENIED.items():
        if pair[column] is not None:
            assert verdict(machine, pair[column]) == EPERM, name


def test_what_every_program_needs_is_allowed(machine):
    calls = CALLS[machine]
    for name in ("read", "write", "mmap", "exit_group", "futex", "openat", "fcntl", "prlimit64", "sendto"):
        assert verdict(machine, calls[name]) == ALLOW, name


def test_other_architectures_are_killed(machine):
    assert verdict(machine, 0, audit=0x40000003) == KILL
    if machine == "x86_64":
        assert verdict(machine, 0x40000000) == KILL  # x32


def test_calls_newer_than_the_list_are_absent(machine):
    for number in (seccomp.NEWEST + 1, 500, 0x3FFFFFFF, 435, 437):
        assert verdict(machine, number) == ENOSYS


def test_only_threads_are_cloned(machine):
    clone = CALLS[machine]["clone"]
    threads = 0x3D0F00  # what glibc asks for
    assert verdict(machine, clone, threads) == ALLOW
    assert verdict(machine, clone, 17) == EPERM
    for namespace in (0x80, 0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, clone, threads | namespace) == EPERM


def test_arguments_that_matter(machine):
    calls = CALLS[machine]
    assert verdict(machine, calls["tgkill"], PID, PID, 6) == ALLOW
    assert verdict(machine, calls["tgkill"], 1, 1, 6) == EPERM
    assert verdict(machine, calls["prlimit64"], 0, 7) == ALLOW
    assert verdict(machine, calls["prlimit64"], 1, 7) == EPERM
    for command in (8, 10, 15, 1024, 1026):
        assert verdict(machine, calls["fcntl"], 3, command) == EPERM
    for request in (0x8901, 0x8902, 0x8912, 0x5412, 0x541C):  # owners, interfaces, terminals
        assert verdict(machine, calls["ioctl"], 3, request) == EPERM
    for request in (0x5421, 0x5451, 0x5401):
        assert verdict(machine, calls["ioctl"], 3, request) == ALLOW
    for option in (1, 4, 22, 35, 38):  # death with the parent, dumps, filters, memory map, privileges
        assert verdict(machine, calls["prctl"], option) == EPERM
    assert verdict(machine, calls["prctl"], 15) == ALLOW
    for call in ("sendto", "recvfrom"):
        assert verdict(machine, calls[call], 3, 0, 9, 0x4142) == ALLOW
        for flag in (1, 0x2000, 0x4000000):
            assert verdict(machine, calls[call], 3, 0, 9, flag) == EPERM
    assert verdict(machine, calls["openat"], 0, 0, 0o1000) == EPERM
    assert verdict(machine, calls["openat"], 0, 0, 0o2001000) == EPERM
    for flags in (0, 0o1001, 0o1102, 0o2000000):
        assert verdict(machine, calls["openat"], 0, 0, flags) == ALLOW


def test_high_bits_of_an_argument_do_not_change_the_verdict(machine):
    calls = CALLS[machine]
    assert verdict(machine, calls["fcntl"], 3, (1 << 32) | 8) == EPERM
    assert verdict(machine, calls["tgkill"], (1 << 32) | 1, 1, 6) == EPERM


def test_the_profile_for_processes_opens_what_they_need_and_nothing_else(machine):
    calls, column = CALLS[machine], seccomp.MACHINES[machine][0]
    for name, pair in seccomp.DENIED.items():
        if pair[column] is not None and name not in seccomp.COMPAT:
            assert verdict(machine, pair[column], compat=True) == EPERM, name
    for name in seccomp.COMPAT - {"kill", "tkill", "socketpair"}:
        if (number := seccomp.DENIED[name][column]) is not None:
            assert verdict(machine, number, compat=True) == ALLOW, name
    for name in ("kill", "tkill"):
        number = seccomp.DENIED[name][column]
        assert verdict(machine, number, PID, 9, compat=True) == EPERM
        assert verdict(machine, number, PID + 1, 9, compat=True) == ALLOW
    assert verdict(machine, calls["tgkill"], PID, PID, 9, compat=True) == EPERM
    assert verdict(machine, calls["tgkill"], PID + 1, PID + 1, 9, compat=True) == ALLOW
    pair = seccomp.DENIED["socketpair"][column]
    assert [verdict(machine, pair, family, compat=True) for family in (1, 2, 16)] == [ALLOW, EPERM, EPERM]
    assert verdict(machine, calls["clone"], 17, compat=True) == ALLOW
    assert verdict(machine, calls["clone"], 0x10000000 | 17, compat=True) == EPERM
    assert verdict(machine, calls["prctl"], 4, compat=True) == EPERM


def test_an_unknown_machine_is_refused():
    with pytest.raises(OSError, match="riscv64"):
        seccomp.common("riscv64")


@pytest.mark.parametrize(
    ("column", "header", "pattern"),
    [
        (0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"__NR_(\w+)\s+(\d+)"),
        (1, "/usr/include/asm-generic/unistd.h", r"__NR(?:3264)?_(\w+)\s+(\d+)"),
    ],
)
def test_numbers_are_those_of_the_kernel(column, header, pattern):
    if not Path(header).exists():
        pytest.skip(f"{header} comes with linux-libc-dev")
    numbers = {name: int(number) for name, number in re.findall(pattern, Path(header).read_text())}
    for name, pair in seccomp.DENIED.items():
        if name in numbers:  # the header may be older than the list
            assert pair[column] == numbers[name], name
    assert sum(name in numbers for name in seccomp.DENIED) > 90
