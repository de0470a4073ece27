"""An agent that edits files in a folder until a goal is reached: one question, one answer."""

import importlib.util
import re
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = re.compile(r"^=== FILE (\S+)\n(.*?)^=== END$", re.MULTILINE | re.DOTALL)
TOOL = re.compile(r"^=== TOOL (\w+)[ \t]*(.*)$", re.MULTILINE)


def run(goal, workspace, model):
    """Edit the files in `workspace` until `goal` is reached; `model.complete(messages)` asks a model."""
    policy = tomllib.loads((HERE / "policy.toml").read_text())
    files = read(workspace)
    changes = solve(question(goal, files), files, model, policy)
    write(changes, workspace)


def solve(asked, files, model, policy):
    """What to write: that of the first attempt."""
    return attempt(asked, files, model, policy)


def attempt(asked, files, model, policy):
    """Ask once, take what comes."""
    return changes_of(converse([said("user", asked)], files, model, policy))


def converse(messages, files, model, policy):
    """Ask, and use the tools that the model wants used, until it answers without one."""
    tools = load_tools()
    for _ in range(policy["tool_calls"]):
        reply = ask(messages, model, policy)
        wanted = TOOL.search(reply)
        if wanted is None or wanted[1] not in tools:
            return reply
        result = tools[wanted[1]].use(wanted[2].strip(), files)
        messages = [*messages, said("assistant", reply), said("user", f"{wanted[1]} says:\n{result}")]
    return ask(messages, model, policy)


def ask(messages, model, policy):
    """The model's reply."""
    return model.complete(messages, temperature=policy["temperature"])[0]


def question(goal, files):
    """The first message: the goal, the files, the tools, how to answer."""
    shown = "\n".join(f"=== FILE {path}\n{with_newline(text)}=== END" for path, text in sorted(files.items()))
    tools = "\n".join(f"- {name}: {tool.ABOUT}" for name, tool in sorted(load_tools().items()))
    return (HERE / "prompts" / "task.md").read_text().format(goal=goal, files=shown, tools=tools)


def changes_of(reply):
    """The files in a reply: path -> new text."""
    return {path: text for path, text in FILE.findall(with_newline(reply))}


def said(role, content):
    """One message."""
    return {"role": role, "content": content}


def load_tools():
    """The modules in tools/, by name; each says what it is in ABOUT and works by use(argument, files)."""
    return {path.stem: load(path) for path in sorted((HERE / "tools").glob("*.py"))}


def load(path):
    """A module by its file."""
    spec = importlib.util.spec_from_file_location(f"tool_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
