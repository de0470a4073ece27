"""An improver of programs: asks for a better one some times, measures what comes, keeps the best."""

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = re.compile(r"^=== FILE (\S+)\n(.*?)^=== END$", re.MULTILINE | re.DOTALL)


def run(goal, workspace, model):
    """Edit the files in `workspace` until `goal` is reached; `model.complete(messages)` asks a model."""
    policy = tomllib.loads((HERE / "policy.toml").read_text())
    files = read(workspace)
    tried = [files]
    for _ in range(policy["asks"]):
        asked = question(goal, files)
        try:
            reply, _ = model.complete([{"role": "user", "content": asked}])
        except RuntimeError:
            break
        tried.append({**files, **changes_of(reply)})
        if "measure.py" not in files and tried[-1] != files:
            break
    write(best(tried), workspace)


def best(tried):
    """The files that measure best, of equal ones the first; the last ones where nothing measures them."""
    measuring = tried[0].get("measure.py")
    if measuring is None:
        return tried[-1]
    space = {"__name__": "measure"}
    exec(measuring, space)
    return max(tried, key=space["measure"])


def question(goal, files):
    """What a model is asked: the goal, the files, how to answer."""
    shown = "\n".join(f"=== FILE {path}\n{with_newline(text)}=== END" for path, text in sorted(files.items()))
    return (HERE / "prompts" / "improve.md").read_text().format(goal=goal, files=shown)


def changes_of(reply):
    """The files in a reply: path -> new text."""
    return {path: text for path, text in FILE.findall(with_newline(reply))}


def read(workspace):
    """Every text file in a folder: path -> text."""
    paths = [
        path for path in sorted(workspace.rglob("*")) if path.is_file() and "__pycache__" not in path.parts
    ]
    return {path.relative_to(workspace).as_posix(): path.read_text(errors="replace") for path in paths}


def write(changes, workspace):
    """Write files into a folder."""
    for path, text in changes.items():
        place = (workspace / path).resolve()
        if place.is_relative_to(workspace.resolve()):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)


def with_newline(text):
    """The text with a newline at its end."""
    return text if text.endswith("\n") or not text else text + "\n"
