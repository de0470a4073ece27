"""`evolve ui` and `evolve report`: the explorer served, or kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evolve.cli.screen import screen, size
from evolve.types import BadInput, LedgerError


def explore(names: Sequence[str], host: str, port: int | None, control: bool) -> None:
    """Serve the explorer until Ctrl-C."""
    if port is not None and not 0 <= port < 65536:
        raise BadInput("--port", "a number from 0 to 65535", f"{port}")
    try:
        from evolve.ui.server import serve  # FastAPI and uvicorn: half a second, and an extra
    except ModuleNotFoundError as error:
        raise BadInput("evolve ui", "its extra: pip install 'evolve-code[ui]'", f"no {error.name}") from error
    from evolve.ui.following import Runs

    out = screen()

    def tell(address: str) -> None:
        out.print(f"the explorer is at {address}   (Ctrl-C ends it)", soft_wrap=True)
        out.file.flush()

    serve(Runs(names), host, port, control, tell)


def report(names: Sequence[str], to: Path, form: str) -> None:
    """Write what the explorer shows into a file that needs no server, or a text for a pull request."""
    from evolve.ui.drawing import progress_svg
    from evolve.ui.following import Runs
    from evolve.ui.report import html, markdown

    if to.is_dir() or not to.parent.is_dir():
        raise BadInput("-o", "a file in a folder that is there", f"{to}")
    runs = Runs(names)
    try:
        for run in runs.all():
            run.look()
            if run.trouble is not None:
                raise LedgerError(run.trouble)
            if not run.told()["head"]["begun"]:
                raise BadInput("RUN", "a run whose seed has been evaluated", run.name)
        first = runs.all()[0]
        written = [to]
        if form == "md":
            picture = to.with_suffix(".svg")
            told = first.told()
            picture.write_text(progress_svg(told["head"], told["rows"]["score"]), encoding="utf-8")
            to.write_text(markdown(first, picture.name), encoding="utf-8")
            written.append(picture)
        else:
            to.write_text(html(runs.all()), encoding="utf-8")
    finally:
        runs.close()
    told_sizes = ", ".join(f"{path} ({size(path.stat().st_size)})" for path in written)
    screen().print(f"written: {told_sizes}", soft_wrap=True)
