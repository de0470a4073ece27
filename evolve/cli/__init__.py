"""The command line: a thin layer over the library.

Nothing heavy is imported here or at the top of a command's module that help needs: `evolve --help` answers at
once, and each command imports its body when it is called. Exit status: 0 done, 1 the run could not do its
work, 2 bad arguments or a bad problem, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import atexit
import gc
import os
import re
import select
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, cast

import typer

from evolve.cli.application import application

# BadParameter is the one name of typer's usage errors that all its versions export; its base is all of them.
_UsageError = cast("type[Exception]", typer.BadParameter.__mro__[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (default: the process's); its exit status.

    A user's mistake is one line on standard error. A defect keeps its traceback.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # nobody needs its threads, which begin by spinning
    atexit.register(gc.freeze)  # else the end takes a tenth of a second to look for garbage once more
    try:
        status = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_left():
            raise  # it was a pipe of the machinery
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered
        return 141  # as of a program that SIGPIPE stops
    return status


def _reader_left() -> bool:
    """Whether nobody reads standard output any more, as after `| head`."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(happened & select.POLLERR for _, happened in poll.poll(0))


def _dispatch(arguments: list[str]) -> int:
    command = application(arguments[0] if arguments else "")
    try:
        # Not `app()`: typer would turn a broken pipe of any part of the machinery into a silent exit.
        with command.make_context("evolve", arguments) as context:
            return command.invoke(context) or 0
    except typer.Exit as end:
        return end.exit_code
    except KeyboardInterrupt:
        return 130
    except _UsageError as error:
        return _complain(_usage(error), 2)
    except Exception as error:
        from evolve.types import BadInput, RunError  # brings numpy, which help and typos need not wait for

        if isinstance(error, BadInput):
            return _complain(str(error), 2)
        if isinstance(error, RunError):
            return _complain(str(error), 1)
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):  # a disk, a right, a path
            return _complain(str(error), 1)
        raise


def _complain(message: str, status: int) -> int:
    """Say on one line what is wrong; it may quote a program, whose control characters are taken out."""
    line = "".join(sign if sign.isprintable() else " " for sign in message)
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print("\033[31merror:\033[0m" if coloured else "error:", " ".join(line.split()), file=sys.stderr)
    return status


def _usage(error: Any) -> str:
    """A usage error of typer as one line: the command, what was wrong, the nearest right word."""
    context = error.ctx
    message = " ".join(error.format_message().split())
    # pydantic's own words for what a value should have been
    message = re.sub(r"Value error, |, unable to parse .*", "", message).replace(
        "Input should be", "expected"
    )
    wrong = getattr(error, "option_name", None)
    if wrong is not None and hasattr(error, "possibilities"):
        message = f"no such option {wrong}"
        known = [name for parameter in context.command.params for name in parameter.opts if name[:1] == "-"]
        if near := get_close_matches(wrong, known, 1, 0.5):
            message += f"; did you mean {near[0]}?"
    command = context.command_path if context else "evolve"
    return f"{command}: {message[0].lower()}{message[1:].rstrip('.')} (see {command} --help)"
