"""The command line: real processes on a recorded run, and rendering on a console of 80 columns."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from recorded import CHILDREN, EQUALS, SEED, record

import evolve
from evolve.budget import Budget
from evolve.cli import main
from evolve.cli.evidence import Evidence
from evolve.cli.looking import duel_parts
from evolve.cli.progress import LiveProgress, PlainProgress, draw
from evolve.cli.runs import Record
from evolve.cli.screen import (
    Screen,
    dot_plot,
    duration,
    number,
    one_line,
    signed,
    sparkline,
    with_interval,
)
from evolve.cli.story import Story
from evolve.cli.summary import summary
from evolve.cli.tree import lines, worth_showing
from evolve.types import Event
from fitness.problem import Problem, load
from populations.ledger import GitLedger

HOME = Path(evolve.__file__).parent.parent
COMMANDS = (
    "run", "show", "champion", "tree", "log", "diff", "blame", "verify", "replay",
    "ui", "report", "export", "fork",
    "problems", "init", "check", "calibrate", "doctor",
)  # fmt: skip
TRUSTED = ("--sandbox", "none", "--i-trust-the-programs")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HOME), "COLUMNS": "80"}


def process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evolve", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=600, check=False
    )


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def command(*arguments: str, cwd: Path) -> Done:
    """Run a command in this process, which saves its start."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    return Done(status, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def output(*arguments: str, cwd: Path) -> str:
    done = command(*arguments, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with three runs: one finished, one without a promotion, one cut short."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "runs").mkdir()
    record(folder / "runs" / "tours-0.git")
    record(folder / "runs" / "equals-0.git", EQUALS)
    record(folder / "runs" / "short-0.git", CHILDREN[:4], finished=False)
    return folder


@pytest.fixture(scope="module")
def events(place: Path) -> list[Event]:
    with GitLedger.read(place / "runs" / "tours-0.git") as ledger:
        return list(ledger.events())


@pytest.fixture(scope="module")
def problem() -> Problem:
    return load("tsp_constructive")


def id_of(events: list[Event], trial: int) -> str:
    return next(
        str(event.variant) for event in events if event.kind == "trial" and event.decision["trial"] == trial
    )


# ------------------------------------------------------------------------------------- help and mistakes


def test_help_lists_every_command_in_80_columns(tmp_path: Path) -> None:
    text = output("--help", cwd=tmp_path)
    for command in COMMANDS:
        assert f"\n  {command} " in text
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.partition("\n")[2]  # no description is cut short
    assert output(cwd=tmp_path) == text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    text = output(command, "-h", cwd=tmp_path)
    assert text.startswith(f"Usage: evolve {command} ")
    assert max(map(len, text.splitlines())) <= 80


def test_version(tmp_path: Path) -> None:
    assert output("--version", cwd=tmp_path).startswith("evolve")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rnu", "tours"], "did you mean 'run'"),
        (["run", "tours", "--trails", "3"], "no such option --trails; did you mean --trials?"),
        (["champion", "tours", "--leadr"], "did you mean --leader?"),
        (["run"], "missing argument 'PROBLEM'"),
        (["run", "tsp_constructive", "--trials", "many"], "'--trials': expected a valid integer (see"),
        (["run", "tsp_constructive", "--trials", "0"], "--trials: expected a number above 0, got 0"),
        (["run", "tsp_constructive", "--seconds", "-1"], "--seconds: expected a number above 0, got -1"),
        (["run", "tsp_constructive", "--seconds", "nan"], "--seconds: expected a number above 0, got nan"),
        (["run", "tsp_constructive", "--usd", "0"], "--usd: expected a number above 0"),
        (["run", "tsp_constructive", "--workers", "0"], "--workers: expected a number above 0, got 0"),
        (["run", "tsp_constructive", "--sandbox", "none"], "--i-trust-the-programs"),
        (["run", "tsp_constructive", "--sandbox", "dokcer"], "docker"),
        (["run", "tsp_constructive", "--sandbox", "process", "--runtime", "runsc"], "--sandbox docker"),
        (["run", "tsp_constructive", "--seed", "-1"], "--seed: expected a whole number from 0, got -1"),
        (["run", "tsp_constructive", "--to", "."], "--to: expected the path of a run, got ."),
        (["run", "tsp_constructive", "--to", "/"], "--to: expected the path of a run, got /"),
        (["run", "tsp_constructive", "--operators", ","], "--operators: expected names"),
        (["run", "tsp_constructive", "--model", "x/y", "--operators", "syntax,tune"], "asks one (rewrite"),
        (["run", "tsp_constructive", "--model", "openai/x,prise=1"], "openai/x: expected a setting: 'price'"),
        (
            ["run", "tsp_constructive", "--model", "openai/x,price=1"],
            "x: price: expected dollars for a million",
        ),
        (["run", "tsp_constructive", "--model", "openai/x,calls=.5"], "x: calls: expected a whole number"),
        (["run", "tsp_constructive", "--model", ",usd=1"], "--model: expected NAME"),
        (["run", "tsp_constructive", "--model", "a/b", "--model", "a/b,usd=1"], "each model once, got a/b 2"),
        (["run", "tsp_constructive", "--calls", "5"], "--calls: expected a --model that it pays for"),
        (["run", "tsp_constructive", "--tokens", "0"], "--tokens: expected a number above 0"),
        (["run", "tsp_constructive", "--baseline", "random", "--population", "elite"], "no --population"),
        (["run", "tsp_constructive", "--usd", "1"], "--usd: expected a --model that it pays for"),
        (["run", "tsp_constructiv"], "expected a folder or 'tsp_constructive'"),
        (["check", "tsp_constructiv"], "expected a folder or 'tsp_constructive'"),
        (["show", "tuors-0"], "expected a run (tours-0"),
        (["show", "tours-0", "no-such"], "VARIANT: expected"),
        (["diff", "tours-0", "seed"], "a variant that has a parent"),
        (["blame", "tours-0", "progam.py"], "FILE: expected one of program.py, got progam.py"),
        (["verify", "tours-0", "--rerun", "0"], "--rerun: expected a number above 0"),
        (["verify", "tours-0", "--rerun", "3"], "--rerun: expected --problem FOLDER"),
        (["verify", "tours-0", "--problem", "runs"], "--problem: expected --rerun K with it"),
        (
            ["verify", "tours-0", "--rerun", "3", "--problem", str(HOME / "seeds/tsp_constructive")],
            "--problem: expected the problem of this run",
        ),
        (["init", "runs"], "expected an empty or new folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(arguments: list[str], says: str, place: Path) -> None:
    done = command(*arguments, cwd=place)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert says.lower() in done.stderr.lower()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["init", "/proc/x"], "/proc/x"),
        (["champion", "tours-0", "--write", "/proc/x"], "/proc/x"),
        (["run", "tsp_constructive", "--to", "/proc/x/y", "--trials", "1", *TRUSTED], "/proc/x"),
    ],
)
def test_what_the_system_refuses_is_one_line(arguments: list[str], says: str, place: Path) -> None:
    done = command(*arguments, cwd=place)
    assert done.returncode in (1, 2)
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert says in done.stderr and "Traceback" not in done.stderr


def test_exit_statuses_of_a_process(place: Path) -> None:
    assert process("--help", cwd=place).returncode == 0
    assert process("show", "tours-0", cwd=place).returncode == 0
    assert process("verify", "tours-0", "--head", "0" * 40, cwd=place).returncode == 1
    mistake = process("run", "tours", "--trails", "3", cwd=place)
    assert (mistake.returncode, mistake.stdout, mistake.stderr.count("\n")) == (2, "", 1)


def test_a_run_that_another_process_holds_is_refused(tmp_path: Path) -> None:
    with GitLedger.create(tmp_path / "held.git"):
        done = command("run", "tsp_constructive", "--to", "held", "--trials", "1", *TRUSTED, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: run held.git: ")
    assert done.stderr.count("\n") == 1


def test_importing_the_command_line_loads_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, evolve.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    ).stdout.split()
    assert "typer" in loaded
    assert not {"numpy", "ray", "litellm", "optuna", "git", "docker", "pydantic", "rich"} & set(loaded)


# ----------------------------------------------------------------------------------------- looking back


def test_log_has_a_line_an_event(place: Path, events: list[Event]) -> None:
    text = output("log", "tours-0", cwd=place)
    rows = text.splitlines()
    assert [int(row.split()[0]) for row in rows] == list(range(len(events)))
    assert "promotion  1: " in text
    assert "\x1b" not in text  # an idea holds an escape sequence


def test_log_as_json_has_the_promised_keys(place: Path, events: list[Event]) -> None:
    records = [json.loads(row) for row in output("log", "runs/tours-0.git", "--json", cwd=place).splitlines()]
    assert [record["event"] for record in records] == list(range(len(events)))
    assert {"start", "trial", "duel", "promotion", "sealed", "stop"} == {record["kind"] for record in records}
    trials = {record["trial"]: record for record in records if record["kind"] == "trial"}
    keys = {"variant", "parents", "operator", "score", "cases", "failure", "usd", "seconds", "verdict"}
    assert all(keys <= set(trial) for trial in trials.values())
    recorded = next(event for event in events if event.variant == trials[2]["variant"])
    scores = recorded.measured["scores"]
    assert trials[2]["score"] == pytest.approx(sum(scores) / len(scores))
    assert (trials[3]["failure"], trials[3]["score"], trials[3]["verdict"]) == ("crash", None, "failed")
    assert (trials[6]["failure"], trials[6]["variant"]) == ("duplicate", None)
    assert trials[9]["usd"] == 0.0123


def test_tree_keeps_what_mattered(place: Path, events: list[Event]) -> None:
    text = output("tree", "tours-0", cwd=place)
    assert f"◆ {id_of(events, 9)}" in text  # the champion
    assert f"◇ {id_of(events, 2)}" in text  # a champion before
    assert id_of(events, 3) not in text  # it crashed
    everything = output("tree", "tours-0", "--all", cwd=place)
    assert id_of(events, 3) in everything
    assert len(everything.splitlines()) == 11  # every variant once; the duplicate is none


def test_a_long_line_of_descent_does_not_grow_in_width(tmp_path: Path) -> None:
    line = tuple(
        type(CHILDREN[0])((n,), "tune", "", 7.0 + n / 10, source=f"near[city] + {n}") for n in range(30)
    )
    with Record.read(str(record(tmp_path / "line.git", line, finished=False))) as run:
        rows = [row.plain for row in lines(run.story, worth_showing(run.story))]
    assert len(rows) == 31
    assert max(map(len, rows)) < 60


def test_show_of_a_run_says_what_was_found_and_what_to_type(place: Path, events: list[Event]) -> None:
    text = output("show", "tours-0", cwd=place)
    sealed = next(event for event in events if event.kind == "sealed")
    for part in (
        "gain        +",
        "from 3 duels",
        "P(any false promotion in this run) <= 0.1",
        "clipped mean",
        "40 sealed draws",
        "evolve tree tours-0",
    ):
        assert part in text
    assert f"confirmed   {sealed.measured['confirmed']:.3f} [" in text
    assert "No significant improvement" not in text


def test_show_without_a_promotion_says_so_with_the_effect_it_could_have_found(place: Path) -> None:
    text = output("show", "equals-0", cwd=place)
    assert "No significant improvement." in text
    assert "pairs could have proven a gain of about 0." in text
    assert "What is smaller than about 0." in text
    assert "the seed itself" in text


def test_show_of_a_run_that_is_not_over(place: Path) -> None:
    assert "not yet: the sealed draws" in output("show", "short-0", cwd=place)


def test_show_of_a_variant_tells_why_it_was_promoted(place: Path, events: list[Event]) -> None:
    text = output("show", "tours-0", "champion", cwd=place)
    assert text == output("show", "tours-0", "9", cwd=place)  # by its trial
    assert text == output("show", "tours-0", id_of(events, 9)[:5], cwd=place)  # by its beginning
    for part in (
        "rewrite, trial 9",
        "proven better",
        "of the 1,111 needed",
        "30 further check pairs: +",
        "def select",
    ):
        assert part in text
    assert "[red]look[/red]" in text  # no markup of ours
    assert "\x1b" not in text


def test_diff_and_blame_name_what_a_mutation_brought(place: Path, events: list[Event]) -> None:
    assert output("diff", "tours-0", "9", cwd=place) == output("diff", "tours-0", "5", "9", cwd=place)
    assert "+    return min(unvisited, key=lambda city: near[city] - 0.45" in output(
        "diff", "tours-0", "9", cwd=place
    )
    rows = output("blame", "tours-0", "program.py", cwd=place).splitlines()
    assert rows[0].startswith(f"{id_of(events, 0)} ")
    assert rows[-1].startswith(f"{id_of(events, 9)} ")
    assert rows[-1].split()[1].startswith("+0.")


def test_champion_comes_out_byte_for_byte(place: Path, tmp_path: Path) -> None:
    program = SEED.replace("near[city]", CHILDREN[8].source)
    assert output("champion", "tours-0", cwd=place) == program
    output("champion", "tours-0", "--write", str(tmp_path / "best"), cwd=place)
    assert (tmp_path / "best" / "program.py").read_text() == program
    assert command("champion", "tours-0", "--write", str(tmp_path / "best"), cwd=place).returncode == 2


def test_champion_as_json(place: Path, events: list[Event]) -> None:
    champion = json.loads(output("champion", "tours-0", "--json", cwd=place))
    assert champion["id"] == id_of(events, 9)
    assert champion["files"]["program.py"].startswith("def select")
    low, high = champion["gain_interval"]
    assert 0 < low < champion["gain"] < high
    assert champion["proven"] is True
    leader = json.loads(output("champion", "short-0", "--leader", "--json", cwd=place))
    assert leader["id"] == id_of(events, 2)  # nobody is ahead of the champion


def test_a_reader_that_leaves_early_gets_no_traceback(place: Path) -> None:
    for arguments in (["log", "tours-0"], ["champion", "tours-0"], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-m", "evolve", *arguments],
            cwd=place,
            env=environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, "")


# --------------------------------------------------------------------------------------------- verifying


def test_verify_of_an_honest_run(place: Path) -> None:
    text = output("verify", "tours-0", cwd=place)
    assert "\nOK\n" in text
    assert "--rerun" in text  # what it did not look at


def test_verify_compares_the_head(place: Path) -> None:
    with GitLedger.read(place / "runs" / "tours-0.git") as ledger:
        head = ledger.head
        variant = next(iter(ledger.variants().values()))
    for given in (head, head[:7], head.upper()):
        assert "OK" in output("verify", "tours-0", "--head", given, cwd=place)
    for given in ("events", "HEAD", head[:6], "events~3"):
        assert command("verify", "tours-0", "--head", given, cwd=place).returncode == 2
    assert command("verify", "tours-0", "--head", variant, cwd=place).returncode == 1  # no event
    done = command("verify", "tours-0", "--head", "0" * 40, cwd=place)
    assert done.returncode == 1
    assert "cut off" in done.stdout


def test_verify_names_the_event_of_an_edited_pair(place: Path, tmp_path: Path, events: list[Event]) -> None:
    forged = next(event.index for event in events if event.kind == "duel_batch")
    with (
        GitLedger.read(place / "runs" / "tours-0.git") as old,
        GitLedger.create(tmp_path / "forged.git") as new,
    ):
        for event in events:
            measured: Mapping[str, Any] = event.measured
            if event.index == forged:
                measured = {**measured, "challenger": [score - 2 for score in measured["challenger"]]}
            variant = old.variant(event.variant) if event.kind == "trial" and event.variant else event.variant
            new.append(event.kind, event.decision, measured, variant=variant, files=old.files(event.index))
        new.sync()
    done = command("verify", "forged.git", cwd=tmp_path)
    assert done.returncode == 1
    assert "✗ every level, e-value, decision and claim follows" in done.stdout
    after = [int(row.split()[1]) for row in done.stdout.splitlines() if row.startswith("    event ")]
    assert after
    assert min(after) > forged


# ---------------------------------------------------------------------------------------------- rendering


def text_of(*parts: Any) -> str:
    file = io.StringIO()
    screen = Screen(file, 80, terminal=False)
    for part in parts:
        screen.print(part)
    return file.getvalue()


def told(events: list[Event], count: int | None = None) -> Story:
    story = Story()
    for event in events[:count]:
        story.tell(event)
    return story


def test_the_live_display_fits_80_columns_at_every_event(events: list[Event], problem: Problem) -> None:
    evidence, budget, seen = Evidence(), Budget(trials=20, seconds=60.0, usd=1.0), ""
    for count in range(len(events) + 1):
        text = text_of(draw(told(events, count), problem, budget, evidence, count * 0.5))
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        seen += text
    for part in (
        "starting",
        "nothing proven yet",
        "not proven",
        "evidence ",
        " of 30 check pairs",
        "1 promotion",
        "improve",
    ):
        assert part in seen
    assert "11 of 20 trials, 22 s of 1 min 00 s, $0.012 of $1.00" in seen


def test_live_progress_hears_all_and_leaves_nothing_behind(events: list[Event], problem: Problem) -> None:
    file = io.StringIO()
    with LiveProgress(problem, Budget(), Screen(file, 80, terminal=True)) as progress:
        for event in events:
            progress.tell(event)
    assert progress.story.champion == id_of(events, 9)
    assert progress.story.history.trials == len(CHILDREN)
    assert "champion" in file.getvalue()
    assert file.getvalue().endswith("\x1b[2K")  # the last thing it does is to erase its lines


def test_plain_progress_says_what_matters(events: list[Event], problem: Problem) -> None:
    file = io.StringIO()
    with PlainProgress(problem, Budget(), Screen(file, 80, terminal=False)) as progress:
        for event in events:
            progress.tell(event)
    rows = file.getvalue().splitlines()
    assert len(rows) == 3  # the seed and two promotions
    assert rows[1].startswith("[10 s] promotion 1: ")


def test_a_duel_is_told_with_its_dots_and_its_evidence(events: list[Event]) -> None:
    story = told(events)
    won, lost = story.duels[2], story.duels[1]
    text = text_of(*duel_parts(story, won, Evidence()))
    assert text.count("•") >= len(won.gains(-1)) // 4
    assert "█" in next(row for row in text.splitlines() if row.startswith("  evidence "))
    assert "given up" in text_of(*duel_parts(story, lost, Evidence()))
    path = Evidence().path(story, won)
    assert len(path) == next(event.decision["n"] for event in events if event.kind == "promotion")
    assert path[-1] == pytest.approx(won.log_e)


def test_a_command_to_copy_is_never_folded(events: list[Event], place: Path) -> None:
    with Record.read(str(place / "runs" / "tours-0.git")) as run:
        again = "evolve run tours --to " + "a-long-name" * 8
        file = io.StringIO()
        Screen(file, 80, terminal=False).print(summary(run.story, run.result(), "", again), soft_wrap=True)
    assert again in file.getvalue()


def test_numbers_for_people() -> None:
    assert (number(6.2831853), number(256.0), number(None)) == ("6.28319", "256", "-")
    assert (signed(-0.70412), signed(0.0), signed(-0.0)) == ("-0.704", "0", "0")
    assert with_interval(6.29412, (6.27103, 6.31711)) == "6.2941 [6.2710, 6.3171]"
    assert with_interval(0.84, (0.75, 0.94), sign=True) == "+0.840 [+0.750, +0.940]"
    assert with_interval(2.5, None) == "2.5"
    assert (duration(4.21), duration(59), duration(192), duration(7500)) == (
        "4.2 s",
        "59 s",
        "3 min 12 s",
        "2 h 05 min",
    )
    assert one_line("a\n\x1b[31mb\u202e") == "a �[31mb�"


def test_plots() -> None:
    assert sparkline([0, 1, 2, 4, 8], 0, 8, 10) == "▁▁▂▄█"
    assert len(sparkline(list(range(1000)), 0, 999, 50)) == 50
    assert dot_plot([-1, 1, 1, 0], 5) == ["  │ •", "• • •", "──┼──", "-10+1"]
    assert dot_plot([1] * 60, 9, height=2)[-1].strip() == "a dot is up to 30 pairs"


# --------------------------------------------------------------------------------- from nothing to a run


def test_from_init_to_a_run_that_verifies(tmp_path: Path) -> None:
    assert "evolve check mine" in output("init", "mine", cwd=tmp_path)
    report = output("check", "mine", "--seconds", "20", *TRUSTED, cwd=tmp_path)
    for part in ("repeatable  yes", "claim ", "a gain of 1%", "evolve run mine"):
        assert part in report
    arguments = ("run", "mine", "--workers", "1", "--seed", "3", *TRUSTED)
    done = command(*arguments, "--trials", "30", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert list(result) == [
        "run", "problem", "claim", "trials", "failures", "faults", "evaluations", "seconds",
        "evaluations_per_second", "cases_per_second", "usd", "promotions", "seed_score", "champion", "leader",
        "arms", "head", "sandbox", "stopped_by",
    ]  # fmt: skip
    assert (result["trials"], result["stopped_by"], result["run"]) == (30, "trials", "runs/mine-3.git")
    spent = command(*arguments, "--trials", "30", cwd=tmp_path)
    assert "evolve run mine --seed 3 --workers 1 --sandbox none --trials 60" in spent.stdout
    assert "30 trials in" in spent.stdout
    assert "run again, give the recorded scores" in output(
        "verify", "mine-3", "--rerun", "3", "--problem", "mine", *TRUSTED, cwd=tmp_path
    )


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on(signum: int, status: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "evolve", "run", "tsp_constructive", *TRUSTED]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "seed" in process.stderr.readline()
        process.send_signal(signum)
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == status, stderr
    assert "Traceback" not in stderr
    assert "not yet: the sealed draws" in stdout
    assert "go on       evolve run tsp_constructive" in stdout


def test_doctor_says_what_works(tmp_path: Path) -> None:
    done = command("doctor", cwd=tmp_path)
    assert done.returncode in (0, 1)
    assert ("Ready." in done.stdout) == (done.returncode == 0)
    for part in ("python", "git", "bubblewrap", "landlock", "disk", "cores", "docker"):
        assert f"{part} " in done.stdout
    assert "auto        ✓ takes bubblewrap" in done.stdout and "seccomp and Landlock" in done.stdout


def test_problems_lists_the_gallery(tmp_path: Path) -> None:
    assert "tsp_constructive" in output("problems", cwd=tmp_path)
