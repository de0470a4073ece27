"""The explorer in real Chromium: every view of a finished run and of one at work, by mouse and keyboard."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from exploring import Watched, chromium, explorer, pictures, watched
from playwright.sync_api import Browser, Route, expect
from ui_runs import IDEA, SCRIPT, finished, hostile

from fitness.doubles import number_problem
from populations.ledger import GitLedger

DOCS = Path(__file__).resolve().parents[1] / "docs"
VIEWS = ("overview", "lineage", "story", "variant", "map", "compare")
PROGRAM = "def solve(case):\n    x = 0.0\n    return x\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ui")


@pytest.fixture(scope="module")
def runs(folder: Path) -> Path:
    finished(folder / "tours-0.git")
    finished(folder / "tours-1.git")
    hostile(folder / "hostile.git")
    return folder


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    with explorer("tours-0.git", "tours-1.git", "hostile.git", cwd=runs) as found:
        yield found


@pytest.fixture
def seen(browser: Browser, address: str) -> Iterator[Watched]:
    with watched(browser, address) as found:
        found.page.wait_for_selector(".cards")
        yield found
        assert found.wrong == []


# ------------------------------------------------------------------------------------------- a finished run


def test_the_overview_answers_a_newcomers_questions(seen: Watched, runs: Path) -> None:
    page = seen.page
    cards = page.locator(".card")
    better = cards.nth(0).inner_text()
    assert re.search(r"\+0\.\d+ \[\+0\.\d+, \+0\.\d+\] mean tour length", better) and "sealed draws" in better
    assert "subtract the way home" in cards.nth(1).inner_text()
    assert "$0.01" in cards.nth(2).inner_text()
    assert "crash" in cards.nth(3).inner_text() and "not callable" in cards.nth(3).inner_text()
    with page.expect_download() as download:
        cards.nth(4).get_by_role("button", name="Download").click()
    with GitLedger.read(runs / "tours-0.git") as ledger:
        champion = ledger.variant(str(ledger.champion())).files
    with zipfile.ZipFile(download.value.path()) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == champion


def test_progress_shows_proof_with_intervals_and_n(seen: Watched) -> None:
    page = seen.page
    assert page.locator(".chart canvas").count() == 1
    page.get_by_text("The same in numbers").click()
    rows = page.get_by_role("region", name="Champions in numbers").locator("tbody tr")
    assert (
        re.search(r"\[\d+\.\d+, \d+\.\d+\]", rows.last.inner_text())
        and "sealed draws" in rows.last.inner_text()
    )
    page.get_by_role("group", name="Axis").get_by_role("button", name="dollars").click()
    expect(page).to_have_url(re.compile("x=usd"))
    operators = page.get_by_role("region", name="Operators and models").inner_text()
    assert "syntax" in operators and "rewrite" in operators


def test_the_lineage_by_mouse_and_search(seen: Watched) -> None:
    page = seen.page
    seen.go("lineage")
    seen.until("window.evolvePicture && window.evolvePicture.took !== undefined")
    x, y = page.evaluate("evolvePicture.at(evolvePicture.run.row(evolvePicture.run.head.champion.id))")
    page.locator("#lineage-canvas").click(position={"x": x, "y": y})
    side = page.get_by_role("complementary", name="Chosen variant")
    assert "champion" in side.inner_text() and "check pairs" in side.inner_text()
    before = page.evaluate("evolvePicture.view.k")
    page.locator("#lineage-canvas").hover(position={"x": 200, "y": 200})
    page.mouse.wheel(0, -600)
    seen.until(f"evolvePicture.view.k > {before} * 1.5")
    page.get_by_role("button", name="Show all").click()
    page.get_by_label("Search variants").fill("crossover")
    expect(page.get_by_text(re.compile(r"1 match"))).to_be_visible()
    page.get_by_label("Search variants").press("Enter")
    expect(side.get_by_role("heading")).to_have_text(re.compile("^7-"))
    for by in ("operator", "model", "island", "failure", "score"):
        page.locator("#colour").select_option(by)
        expect(page.locator(".legend")).to_be_visible()
    page.get_by_role("button", name="as a tree").click()
    expect(page.get_by_text("Generations from left to right")).to_be_visible()


def test_the_lineage_by_keyboard(seen: Watched) -> None:
    page = seen.page
    page.keyboard.press("2")  # the second view
    page.locator("#lineage-canvas").focus()
    page.keyboard.press("s")
    side = page.get_by_role("complementary", name="Chosen variant")
    expect(side.get_by_role("heading")).to_have_text(re.compile("^0-"))
    page.keyboard.press("ArrowRight")
    expect(side.get_by_role("heading")).not_to_have_text(re.compile("^0-"))
    page.keyboard.press("ArrowLeft")
    expect(side.get_by_role("heading")).to_have_text(re.compile("^0-"))
    page.keyboard.press("ArrowDown")
    expect(side.get_by_role("heading")).to_have_text(re.compile("^1-"))
    page.keyboard.press("+")
    seen.until("evolvePicture.view.k > 1.3")
    page.keyboard.press("0")
    seen.until("evolvePicture.view.k === 1")
    page.keyboard.press("c")
    page.keyboard.press("Enter")
    expect(page.locator(".variant h2")).to_be_visible()
    slowed = page.context.new_cdp_session(page)
    slowed.send("Emulation.setCPUThrottlingRate", {"rate": 20})  # the view that has the search takes its time
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()


def test_everything_on_a_page_is_reached_by_tab(seen: Watched) -> None:
    page = seen.page
    page.keyboard.press("Tab")
    expect(page.get_by_text("To the content")).to_be_focused()
    wanted = page.locator("a[href], button, select, input, summary").count()
    reached = set()
    for _ in range(wanted + 20):
        reached.add(page.evaluate("document.activeElement.outerHTML.slice(0, 200)"))
        page.keyboard.press("Tab")
    words = " ".join(reached)
    for each in ("To the content", 'id="run"', "Lineage", "Download", "attempts", "summary"):
        assert each in words


def test_a_variant_whole(seen: Watched) -> None:
    page = seen.page
    seen.go("variant")
    page.wait_for_selector(".code")
    seen.loaded()
    text = page.locator("main").inner_text()
    assert re.search(r"proven better: \d+ pairs on fresh draws, e-value", text)
    assert "n = 8 search cases" in text and "further check pairs" in text
    assert page.locator(".duel svg .pairs").count() == 1 and page.locator(".strip rect").count() == 8
    assert page.locator(".hljs-keyword").count() > 1
    assert page.locator("tr.plus").count() >= 1
    page.get_by_role("group", name="Compare with").get_by_role("button", name="seed").click()
    expect(page.locator("tr.minus")).to_have_count(1)
    page.get_by_role("group", name="Compare with").get_by_role("button", name="champion").click()
    expect(page.get_by_text("This is the champion itself.")).to_be_visible()


def test_the_story_is_a_sequence_of_ideas_with_diffs_and_gains(seen: Watched) -> None:
    page = seen.page
    seen.go("story")
    steps = page.locator(".steps > li")
    assert steps.count() >= 3
    assert "the seed" in steps.first.inner_text() and "champion" in steps.last.inner_text()
    proven = r"Proven better than \S+; by how much, on n = \d+ check pairs: \+0\.\d+ \["
    assert re.search(proven, page.locator("main").inner_text())
    steps.last.get_by_text("What changed").click()
    expect(steps.last.locator("tr.plus")).to_have_count(1)


def test_the_map_shows_cases_and_measures(seen: Watched) -> None:
    page = seen.page
    seen.go("map")
    page.wait_for_selector(".heat rect")
    assert page.locator(".heat g").count() > 5 and page.locator(".heat g").first.locator("rect").count() == 8
    page.wait_for_selector(".plane")
    assert page.locator(".plane .ahead").count() >= 1


def test_the_map_of_a_run_that_is_ahead_of_the_page_shows_what_the_page_knows(seen: Watched) -> None:
    def ahead(route: Route) -> None:
        body = (answer := route.fetch()).json()
        for measure in body["measures"]:
            measure["rows"].append(10**6)
            measure["values"].append(1.0)
        route.fulfill(response=answer, json=body)

    seen.page.route("**/plane", ahead)
    seen.go("map")
    seen.loaded()
    expect(seen.page.locator(".plane")).to_be_visible()


def test_runs_are_compared_as_seeds_of_one_setting(seen: Watched) -> None:
    page = seen.page
    seen.go("compare")
    expect(page.get_by_text(re.compile("median of n = [23] runs"))).to_be_visible()
    page.get_by_role("checkbox", name="hostile").uncheck()
    expect(page.get_by_text("median of n = 2 runs")).to_be_visible()
    assert page.get_by_role("region", name="Runs in numbers").locator("tbody tr").count() == 2


def test_the_page_may_be_opened_where_it_was_left(browser: Browser, address: str) -> None:
    with watched(browser, f"{address}#run=tours-1&view=lineage&by=operator") as found:
        found.page.wait_for_selector("#lineage-canvas")
        assert found.page.locator("#run").input_value() == "tours-1"
        assert found.page.locator("#colour").input_value() == "operator"
        assert found.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Browser, address: str, scheme: Any) -> None:
    with watched(browser, address, color_scheme=scheme, reduced_motion="reduce") as found:
        for view in VIEWS:
            found.page.wait_for_selector("nav")
            found.go(view)
            found.loaded()
            assert found.axe() == [], view
        assert found.wrong == []


def test_a_phone_shows_everything_without_scrolling_sideways(browser: Browser, address: str) -> None:
    with watched(browser, address, viewport={"width": 390, "height": 844}, has_touch=True) as found:
        for view in VIEWS:
            found.page.wait_for_selector("nav")
            found.go(view)
            found.loaded()
            assert found.page.evaluate("document.documentElement.scrollWidth") <= 390, view
        assert found.wrong == []


def test_the_documentation_s_pictures_can_be_taken(
    browser: Browser, address: str, folder: Path, tmp_path: Path
) -> None:
    """EVOLVE_PICTURES=docs makes those of the documentation anew, of a run as a newcomer's."""
    to = Path(os.environ.get("EVOLVE_PICTURES", tmp_path)).resolve()
    if to == tmp_path:
        written = pictures(browser, address, to)
    else:
        command = [
            sys.executable,
            "-m",
            "evolve",
            "run",
            "tsp_constructive",
            "--trials",
            "500",
            "--workers=1",
        ]
        subprocess.run([*command, "--to", str(folder / "tsp_constructive-0.git")], check=True)
        with explorer("tsp_constructive-0.git", cwd=folder) as alone:
            written = pictures(browser, alone, to)
    shown = re.findall(r"\]\((explorer-[\w-]+\.png)\)", (DOCS / "explorer.md").read_text())
    assert shown and set(shown) <= {path.name for path in written}
    contents = [path.read_bytes() for path in written]
    assert all(each.startswith(b"\x89PNG") for each in contents) and len(set(contents)) == len(contents)


def test_the_colours_can_be_chosen(seen: Watched) -> None:
    back = "getComputedStyle(document.body).backgroundColor"
    seen.page.get_by_role("button", name="dark").click()
    seen.until(f"{back} === 'rgb(15, 17, 21)'")
    seen.page.get_by_role("button", name="light").click()
    seen.until(f"{back} === 'rgb(246, 247, 249)'")


# ----------------------------------------------------------------------------------------- hostile text


def test_hostile_text_is_text(seen: Watched) -> None:
    page = seen.page
    page.locator("#run").select_option("hostile")
    seen.until("document.title.startsWith('hostile')")
    for view in VIEWS:
        seen.go(view, run="hostile")
        seen.loaded()
    with_script = page.evaluate("fetch('api/runs/hostile').then(r => r.json())")
    rows = with_script["rows"]
    bad = [id for id in rows["id"] if id and id.startswith(("12-", "13-"))]
    assert any(SCRIPT in idea for idea in rows["idea"])
    seen.go("overview", run="hostile")
    expect(page.get_by_text("dropped: it never helped")).to_be_visible()
    for id in bad:
        seen.go("variant", run="hostile", v=id)
        seen.until(f"document.querySelector('.variant h2')?.textContent === '{id}'")
        page.wait_for_selector(".code")
        page.get_by_text("Prompt, ").click()
        text = page.locator("main").inner_text()
        assert "\x1b" not in text and "\u202e" not in text and "\u2066" not in text
        if id.startswith("12-"):
            # idea, program, prompt, reply, and the critique of it
            assert text.count("<script>window.harmed = 1</script>") >= 5
        else:
            assert "more signs" in text  # nobody reads five million signs in a row
    assert page.evaluate("window.harmed") is None
    assert page.locator("main script, main iframe, main img").count() == 0
    assert IDEA.startswith("<script>")


def test_nothing_is_allowed_to_run_but_our_own_files(address: str) -> None:
    answer = ask(address, "/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    page = answer.body.decode()
    assert not re.search(r"<script(?![^>]*src=\"static/)[^>]*>", page) and "http" not in page
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


# ------------------------------------------------------------------------------------------- who may ask


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, dict(response.getheaders()), response.read()
        self.headers = {name.title().replace("Csp", "CSP"): value for name, value in self.headers.items()}


def ask(address: str, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def test_other_names_in_the_host_header_are_refused(address: str) -> None:
    assert ask(address, "/api/runs", Host="evil.example:80").status == 403
    assert ask(address, "/api/runs", Host="localhost").status == 200
    assert ask(address, "/api/runs", Origin="http://evil.example").status == 403


def test_without_allow_control_nothing_is_asked_of_a_run(address: str, runs: Path) -> None:
    answer = ask(address, "/api/runs/tours-0/control", "POST", '{"action":"note","text":"x"}')
    assert answer.status == 403 and b"--allow-control" in answer.body
    assert not (runs / "tours-0.git" / "evolve" / "control").exists()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/runs/nobody", 400),
        ("/api/runs/tours-0/variants/99-abcdef", 400),
        ("/api/runs/tours-0/variants/..%2f..%2fconfig", 404),
        ("/api/runs/tours-0/duels/99", 404),
        ("/static/..%2f..%2fserver.py", 404),
        ("/static/../server.py", 404),
        ("/docs", 404),
    ],
)
def test_what_is_not_there_is_refused(address: str, path: str, status: int) -> None:
    assert ask(address, path).status == status


def test_control_needs_the_token_and_json(runs: Path) -> None:
    with explorer("tours-1.git", "--allow-control", cwd=runs) as found:
        home, _, token = found.partition("#token=")
        path, note = "/api/runs/tours-1/control", '{"action":"note","text":"look here"}'
        assert ask(home, "/api/runs").status == 401
        assert ask(home, path, "POST", note).status == 401
        assert ask(home, path, "POST", note, Authorization="Bearer wrong").status == 401
        mine = {"Authorization": f"Bearer {token}"}
        assert ask(home, path, "POST", note, **mine, Content_Type="text/plain").status == 415
        assert ask(home, path, "POST", "{", **mine, Content_Type="application/json").status == 400
        assert ask(home, path, "POST", "x" * 70_000, **mine, Content_Type="application/json").status == 413
        pause = ask(home, path, "POST", '{"action":"pause"}', **mine, Content_Type="application/json")
        assert pause.status == 400 and b"a run that a process works on" in pause.body
        kept = ask(home, path, "POST", note, **mine, Content_Type="application/json")
        assert kept.status == 200 and b"next session" in kept.body
        letter = next((runs / "tours-1.git" / "evolve" / "control").glob("*.json"))
        assert json.loads(letter.read_text()) == json.loads(note) and letter.stat().st_mode & 0o077 == 0


def test_another_address_wants_a_token(runs: Path) -> None:
    with explorer("tours-0.git", "--host", "0.0.0.0", cwd=runs) as found:
        assert "#token=" in found
        home, _, token = found.partition("#token=")
        assert ask(home, "/api/runs").status == 401
        assert ask(home, "/api/runs", Authorization=f"Bearer {token}").status == 200


def test_a_taken_port_is_one_line(address: str, runs: Path) -> None:
    taken = str(urlsplit(address).port)
    command = [sys.executable, "-m", "evolve", "ui", "tours-0.git", "--port", taken]
    done = subprocess.run(command, capture_output=True, text=True, cwd=runs)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--port" in done.stderr


# ------------------------------------------------------------------------------------------- a run at work


def test_a_run_at_work_is_followed_and_steered(browser: Browser, tmp_path: Path) -> None:
    number_problem(tmp_path / "numbers", PROGRAM, search=8, sealed=10, n_max=40)
    (tmp_path / "runs").mkdir()
    with explorer("--allow-control", cwd=tmp_path) as found, watched(browser, found) as seen:
        page = seen.page
        expect(page.get_by_text("No runs yet")).to_be_visible()
        command = [sys.executable, "-m", "evolve", "run", "numbers", "--workers", "1", "--trials", "100000"]
        command += ["--operators", "evolve.doubles.Nudge", "--i-trust-the-programs", "--sandbox", "none"]
        log = (tmp_path / "log").open("w")
        run = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log)
        try:
            page.wait_for_selector(".pill.live", timeout=300_000)
            expect(page).not_to_have_url(re.compile("token"))
            for view in VIEWS:
                seen.go(view)
                seen.loaded()
            text = "document.querySelector('.totals').innerText"
            count = f"Number(/([\\d,]+) attempt/.exec({text})[1].replace(',', ''))"
            before = page.evaluate(count)
            seen.until(f"{count} > {before}")
            seen.go("control")
            page.get_by_role("button", name="Pause").click()
            page.wait_for_selector(".pill.wait", timeout=300_000)
            paused = page.evaluate(count)
            time.sleep(1.0)
            assert page.evaluate(count) <= paused + 2  # what was in flight
            page.get_by_label("Note").fill(f"why not {SCRIPT}")
            page.get_by_role("button", name="Add the note").click()
            page.locator("form", has_text="Pin or ban").get_by_label("Variant").fill("0-000000")
            page.get_by_role("button", name="Ban").first.click()
            expect(page.get_by_text("variant: expected the id of a variant of this run")).to_be_visible()
            page.get_by_role("button", name="Go on").click()
            page.wait_for_selector(".pill.live", timeout=300_000)
            page.get_by_label("to", exact=True).fill("50")
            page.get_by_role("button", name="Raise").click()
            expect(page.get_by_text("expected more than 100000")).to_be_visible()
            page.on("dialog", lambda dialog: dialog.accept())
            page.get_by_role("button", name="Stop").click()
            assert run.wait(300) == 0
            expect(page.locator(".pill")).to_have_text("finished", timeout=300_000)
            seen.go("overview")
            expect(page.get_by_text(f"why not {SCRIPT}")).to_be_visible()
        finally:
            run.kill()
            run.wait()
            log.close()
        refused = [
            each for each in seen.wrong if "400" not in each
        ]  # the browser logs what the server refuses
        assert refused == []
    with GitLedger.read(tmp_path / "runs" / "numbers-0.git") as ledger:
        asked = [event.decision["action"] for event in ledger.events() if event.kind == "control"]
        last = list(ledger.events())[-1]
    assert asked == ["pause", "note", "resume", "stop"]
    assert last.kind == "stop" and last.decision["reason"] == "request"


def test_runs_that_cannot_be_shown_are_shown_for_what_they_are(browser: Browser, tmp_path: Path) -> None:
    path = finished(tmp_path / "runs" / "broken.git")
    for pack in (path / "objects").rglob("*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes()[:300])
    GitLedger.create(tmp_path / "runs" / "empty.git").close()
    with explorer(cwd=tmp_path) as found, watched(browser, f"{found}#run=broken") as seen:
        expect(seen.page.get_by_text("This run cannot be shown")).to_be_visible()
        expect(seen.page.get_by_role("alert").first).to_contain_text("missing or corrupt")
        seen.page.locator("#run").select_option("empty")
        expect(seen.page.get_by_text("The run is empty")).to_be_visible()
