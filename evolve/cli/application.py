"""The application: the commands under their headings, in plain text."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evolve.cli.commands import evolving, inspecting, preparing

_GROUPS = (evolving, inspecting, preparing)


class _Commands(TyperGroup):
    """Lists the commands under headings, in plain text."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = formatter.width - 4 - max(map(len, self.commands))
        for group in _GROUPS:
            with formatter.section(group.HEADING):
                formatter.write_dl(
                    [
                        (name, command.get_short_help_str(width))
                        for name, command in self.commands.items()
                        if getattr(command, "rich_help_panel", None) == group.HEADING
                    ]
                )


def application(word: str) -> Any:
    """What runs a command line that begins with this word.

    Where that names a command, it has this one alone: to make them all takes as long as an import.
    """
    app = typer.Typer(
        name="evolve",
        help="Evolve a program, prove that it is better, show how it got there.",
        epilog="Start with: evolve run tsp_constructive --seconds 60",
        cls=_Commands,
        invoke_without_command=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    commands = {
        command.name or getattr(command.callback, "__name__", ""): command
        for group in _GROUPS
        for command in group.commands.registered_commands
    }
    app.registered_commands += [commands[word]] if word in commands else commands.values()
    return typer.main.get_command(app)


def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import PackageNotFoundError  # 40 ms that only this option needs
        from importlib.metadata import version as installed

        try:
            print(f"evolve {installed('evolve-code')}")
        except PackageNotFoundError:
            print("evolve, run from its source")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
