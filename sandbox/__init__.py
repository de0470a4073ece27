"""Running untrusted programs: `open_sandbox` starts the best boundary here, `probe` says which there are.

Names are resolved late: the fork server imports this package inside the walls, where it needs none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.levels import Level, chosen, open_sandbox, probe

__all__ = ["Level", "chosen", "open_sandbox", "probe"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("sandbox.levels"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
