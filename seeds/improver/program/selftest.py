"""The scaffold's own tests: what it must be able to do, whatever it becomes. Not editable."""

import tempfile
from pathlib import Path


class Scripted:
    """A model that says the same thing every time."""

    def __init__(self, reply):
        self.reply, self.asked = reply, 0

    def complete(self, messages, **options):
        """Answer."""
        assert messages and all(message.keys() == {"role", "content"} for message in messages)
        self.asked += 1
        return self.reply, {"prompt_tokens": 0, "reply_tokens": 0, "usd": 0.0}


def test_it_asks_and_stays_in_its_workspace(run):
    """Whatever a model says, nothing outside the workspace changes, and the model was asked."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        workspace = Path(folder, "inside").resolve()
        workspace.mkdir()
        (workspace / "notes.txt").write_text("one\n")
        model = Scripted("=== FILE ../outside.txt\nno\n=== END\n=== FILE new.txt\nyes\n=== END\n")
        run("Add a file new.txt.", workspace, model)
        assert model.asked
        assert not Path(folder, "outside.txt").exists()
        assert (workspace / "notes.txt").read_text() == "one\n"


def test_it_survives_a_reply_that_is_nonsense(run):
    """A model may say anything."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        run("Do nothing.", Path(folder).resolve(), Scripted("=== FILE\n=== TOOL\n```"))
