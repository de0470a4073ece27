"""What leaves a run: the report in one file, a text for a pull request, tables, a graph, another run."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
from exploring import Watched, chromium, watched
from playwright.sync_api import Browser, expect
from ui_runs import SCRIPT, finished, hostile

from evolve.cli import main
from fitness.doubles import number_problem
from fitness.verify import verify
from populations.ledger import GitLedger

PROGRAM = "def solve(case):\n    x = 0.0\n    return x\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    finished(folder / "tours.git")
    hostile(folder / "hostile.git")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def report(place: Path) -> Path:
    path = place / "report.html"
    assert main(["report", str(place / "hostile.git"), str(place / "tours.git"), "-o", str(path)]) == 0
    return path


@pytest.fixture
def seen(browser: Browser, report: Path) -> Iterator[Watched]:
    with watched(browser, f"file://{report}") as found:
        found.page.wait_for_selector(".cards")
        yield found
        assert found.wrong == []


def test_every_view_works_without_a_server(seen: Watched) -> None:
    page = seen.page
    assert page.locator(".pill").inner_text() == "report"
    for view, there in [
        ("lineage", "#lineage-canvas"), ("story", ".steps > li"), ("map", ".heat rect"),
        ("variant", ".duel svg"), ("compare", ".chart canvas"), ("overview", ".cards"),
    ]:  # fmt: skip
        seen.go(view)
        page.wait_for_selector(there)
    assert page.get_by_role("link", name="Control").count() == 0
    seen.go("story")
    page.locator(".steps > li").last.get_by_text("What changed").click()
    page.wait_for_selector("tr.plus")
    assert seen.axe() == []


def test_hostile_text_ends_no_script(seen: Watched, report: Path) -> None:
    text = report.read_text()
    assert SCRIPT not in text and report.stat().st_size < 5_000_000
    hostile_id = re.search(r"12-[0-9a-f]{6}", text)
    assert hostile_id is not None
    seen.go("variant", v=hostile_id[0])
    seen.page.wait_for_selector(".code")
    assert SCRIPT.split("<img")[0] in seen.page.locator("main").inner_text()
    assert seen.page.evaluate("window.harmed") is None
    assert "default-src 'none'" in text and "unsafe" not in text.split("</title>")[0]


def test_the_champions_code_can_be_taken_from_it(seen: Watched, place: Path) -> None:
    with seen.page.expect_download() as download:
        seen.page.get_by_role("button", name="Download").click()
    with GitLedger.read(place / "hostile.git") as ledger:
        files = ledger.variant(str(ledger.champion())).files
    assert Path(download.value.path()).read_bytes() == files["program.py"]


def test_two_thousand_attempts_fit_and_what_is_left_out_is_said(browser: Browser, place: Path) -> None:
    number_problem(place / "many", "def solve(case):\n    x = 0.0\n    return x\n" + "# words\n" * 300)
    command = "from pathlib import Path; from evolve.run import RunOptions, run; "
    command += (
        "from evolve.doubles import InlineExecutor; from fitness.doubles import SyntheticFitness, noise; "
    )
    command += f"run(RunOptions({str(place / 'many')!r}, Path({str(place / 'many.git')!r}), trials=2000, "
    command += "operators=('evolve.doubles.Nudge',)), executor=InlineExecutor(SyntheticFitness(noise), 2))"
    subprocess.run([sys.executable, "-c", command], check=True)
    path = place / "many.html"
    assert main(["report", str(place / "many.git"), "-o", str(path)]) == 0
    assert path.stat().st_size < 5_000_000
    with watched(browser, f"file://{path}") as found:
        found.page.wait_for_selector(".cards")
        assert "2,000 attempts" in found.page.locator(".totals").inner_text()
        assert found.wrong == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tours.git", "-o", "nowhere/r.html"], "-o: expected a file in a folder that is there"),
        (["nobody.git", "-o", "r.html"], "RUN: expected a run"),
        (["tours.git"], "'-o'"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    says: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    assert main(["report", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_markdown_for_a_pull_request(place: Path) -> None:
    path = place / "report.md"
    assert main(["report", str(place / "hostile.git"), "-o", str(path), "--format", "md"]) == 0
    text = path.read_text()
    assert (
        re.search(r"\*\*9-\w+ is better than the seed by \+0\.\d+ \[\+0\.\d+, \+0\.\d+\]", text)
        or "better" in text
    )
    assert "![best seen and best proven against attempts](report.svg)" in text
    assert "<script>" not in text and "\x1b" not in text
    assert "### From the seed to the champion" in text and "### Promotions" in text
    svg = (place / "report.svg").read_text()
    assert svg.startswith("<svg") and 'class="proven"' in svg and 'class="band"' in svg


def test_tables(place: Path) -> None:
    run, folder = str(place / "hostile.git"), place / "tables"
    assert main(["export", run, "--format", "csv", "-o", str(folder)]) == 0
    assert main(["export", run, "--format", "parquet", "-o", str(folder)]) == 0
    with GitLedger.read(run) as ledger:
        events = list(ledger.events())
    for name, kind in (("trials", "trial"), ("duels", "duel_open")):
        csv.field_size_limit(10**8)
        with (folder / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        table = pyarrow.parquet.read_table(folder / f"{name}.parquet").to_pylist()
        assert len(rows) == len(table) == sum(event.kind == kind for event in events)
        assert list(rows[0]) == list(table[0])
    trials = pyarrow.parquet.read_table(folder / "trials.parquet").to_pylist()
    seed = events[1].measured["scores"]
    assert json.loads(trials[0]["scores"]) == seed and trials[0]["score"] == pytest.approx(
        sum(seed) / len(seed)
    )
    calls = pyarrow.parquet.read_table(folder / "calls.parquet").to_pylist()
    assert [call["usd"] for call in calls] == [0.25, 0.25] and calls[0]["model"].startswith("<script>")


def test_a_cell_is_no_formula() -> None:
    from evolve.ui.tables import cell

    assert cell("=1+1") == "'=1+1" and cell("@x") == "'@x" and cell("a=b") == "a=b"
    assert cell(-1.5) == "-1.5" and cell(None) == ""


def test_the_lineage_as_a_graph(place: Path) -> None:
    path = place / "lineage.dot"
    assert main(["export", str(place / "hostile.git"), "--format", "dot", "-o", str(path)]) == 0
    text = path.read_text()
    with GitLedger.read(place / "hostile.git") as ledger:
        for id in ledger.variants():
            assert f'  "{id}" [' in text
            for parent in ledger.variant(id).parents:
                assert f'  "{parent}" -> "{id}"' in text
    assert text.startswith("digraph lineage {") and text.rstrip().endswith("}")
    assert all(line.count('"') % 2 == 0 for line in text.replace('\\"', "").splitlines())


def test_a_fork_goes_on_from_any_variant_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    number_problem(tmp_path / "numbers", PROGRAM, search=4, sealed=6, n_max=40)
    common = ["--sandbox", "none", "--i-trust-the-programs", "--workers", "1"]
    operators = ["--operators", "evolve.doubles.Nudge"]
    assert main(["run", "numbers", "--trials", "6", "--seed", "3", *operators, *common]) == 0
    with GitLedger.read(tmp_path / "runs" / "numbers-3.git") as ledger:
        chosen = list(ledger.variants())[2]
        files, commit = ledger.variant(chosen).files, ledger.variants()[chosen]
        draws = ledger.event(0).decision
    words = ["fork", "numbers-3", chosen.split("-")[0], "--to", "runs/branch", *common]
    assert main([*words, "--trials", "5"]) == 2  # the problem is not the gallery's
    assert main([*words, "--trials", "5", "--problem", "numbers"]) == 0
    with GitLedger.read(tmp_path / "runs" / "branch.git") as ledger:
        events = list(ledger.events())
        start, first = events[0], next(e for e in events if e.decision.get("trial") == 1)
        assert start.decision["parent"] == commit and start.measured["forked"]["variant"] == chosen
        assert first.decision["operator"] == "fork" and chosen in first.decision["idea"]
        assert ledger.variant(str(first.variant)).files == files
        assert start.decision["seed"] == 3 and start.decision != draws  # so the gate's draws are its own
        assert verify(events) == []
        assert sum(e.kind == "trial" for e in events) == 6
    assert main([*words, "--trials", "9", "--problem", "numbers"]) == 2  # it is there already
    assert main(["replay", "branch"]) == 0


def test_the_report_names_what_it_left_out(browser: Browser, report: Path) -> None:
    with watched(browser, f"file://{report}#run=tours&view=variant") as found:
        expect(found.page.get_by_role("alert")).to_contain_text("This report has the programs of")
