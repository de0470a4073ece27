"""The memory that jobs inherit, made cheap to inherit: most of what a fork costs is pages.

A child gets a page of its own as soon as it writes there, and Python writes to whatever it looks at, as it
counts references. What lives when `settle` is called stays for good anyway, so nobody counts it any more.
"""

from __future__ import annotations

import ctypes
import gc

from sandbox import kernel

_HUGE_BYTES = 2 << 20
_MADV_COLLAPSE = 25  # Linux 6.1; an older kernel refuses it, and nothing changes


def settle() -> None:
    """Take everything that lives now out of reference counts and collections, into few and large pages."""
    gc.unfreeze()
    gc.collect()
    immortal = ctypes.c_uint32.from_address(id(None)).value
    if immortal >> 31:  # before Python 3.12 nothing is immortal, not even None (PEP 683)
        living = _living()
        for address in living:
            ctypes.c_uint32.from_address(address).value = immortal
        for frame in {address // _HUGE_BYTES for address in living}:
            kernel.libc.madvise(ctypes.c_void_p(frame * _HUGE_BYTES), _HUGE_BYTES, _MADV_COLLAPSE)
    gc.freeze()


def _living() -> dict[int, object]:
    """Every object there is, by its address: what the collector knows, and what that refers to."""
    waiting = gc.get_objects()
    found: dict[int, object] = {}
    while waiting:
        new = {id(each): each for each in waiting if id(each) not in found}
        found |= new
        waiting = gc.get_referents(*new.values())
    return found
