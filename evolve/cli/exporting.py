"""`evolve export`: the tables of a run as CSV or Parquet, its lineage as DOT."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evolve.cli.runs import Record, find
from evolve.cli.screen import screen, size
from evolve.types import BadInput
from evolve.ui.tables import cell, dot, tables
from evolve.ui.view import View
from populations.ledger import GitLedger


def export(run: str, form: str, to: Path | None) -> None:
    """Write a folder of tables, or a file of the lineage."""
    out = screen()
    with Record.read(run) as record:
        name = record.path.name.removesuffix(".git")
    if form == "dot":
        path = to or Path(f"{name}.dot")
        _require(path.parent.is_dir() and not path.is_dir(), "a file in a folder that is there", path)
        view = View(name, run)
        with GitLedger.read(find(run)) as ledger:
            for event in ledger.events():
                view.tell(event)
        path.write_text("\n".join(dot(view)) + "\n", encoding="utf-8")
        written = [path]
    else:
        folder = to or Path(f"{name}-tables")
        _require(not folder.exists() or folder.is_dir(), "a folder", folder)
        write = _parquet() if form == "parquet" else _csv
        with GitLedger.read(find(run)) as ledger:
            found = tables(ledger)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for table, (columns, rows) in found.items():
            path = folder / f"{table}.{form}"
            write(path, columns, rows)
            written.append(path)
    told = ", ".join(f"{path} ({size(path.stat().st_size)})" for path in written)
    out.print(f"written: {told}", soft_wrap=True)


def _require(holds: bool, expected: str, path: Path) -> None:
    if not holds:
        raise BadInput("-o", expected, f"{path}")


def _csv(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([cell(row[column]) for column in columns] for row in rows)


def _parquet() -> Any:
    try:
        import pyarrow  # 50 MB, and an extra
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        expected = "its extra: pip install 'evolve-code[parquet]'"
        raise BadInput("--format parquet", expected, f"no {error.name}") from error

    def write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
        arrays = {column: [row[column] for row in rows] for column in columns}
        pyarrow.parquet.write_table(pyarrow.table(arrays), path)

    return write
