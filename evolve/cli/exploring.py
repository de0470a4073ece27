"""`evolve ui`: the explorer's server, started."""

from __future__ import annotations

from collections.abc import Sequence

from evolve.cli.screen import screen
from evolve.types import BadInput


def explore(names: Sequence[str], host: str, port: int | None, control: bool) -> None:
    """Serve the explorer until Ctrl-C."""
    if port is not None and not 0 <= port < 65536:
        raise BadInput("--port", "a number from 0 to 65535", f"{port}")
    try:
        from evolve.ui.following import Runs
        from evolve.ui.server import serve  # FastAPI and uvicorn: half a second, and an extra
    except ModuleNotFoundError as error:
        raise BadInput("evolve ui", "its extra: pip install 'evolve-code[ui]'", f"no {error.name}") from error
    out = screen()

    def tell(address: str) -> None:
        out.print(f"the explorer is at {address}   (Ctrl-C ends it)", soft_wrap=True)
        out.file.flush()

    serve(Runs(names), host, port, control, tell)
