"""`evolve init`: a working problem, to be made into one's own."""

from __future__ import annotations

import re
from pathlib import Path

from evolve.types import BadInput
from fitness.problem import read_files
from fitness.tables import NAME

TEMPLATE = Path(__file__).parent / "template"


def init(folder: str | Path) -> Path:
    """Write the template into a folder that is empty or new, under the folder's name. Raises BadInput."""
    folder = Path(folder).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"folder {folder}", "an empty or new folder", "a file")
    if folder.exists() and any(folder.iterdir()):
        raise BadInput(f"folder {folder}", "an empty or new folder", "one with files in it")
    for name, data in read_files(TEMPLATE).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if re.fullmatch(NAME, folder.name):
        toml = folder / "problem.toml"
        toml.write_text(toml.read_text().replace('"my_problem"', f'"{folder.name}"'))
    return folder
