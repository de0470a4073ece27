"""The benchmarks of promotions at a size for every day: the same commands, the same binomial bounds."""

import shutil
import subprocess
import sys
import xml.dom.minidom
from pathlib import Path

HOME = Path(__file__).parents[1]


def test_targets_nulls_and_rules_hold_and_the_page_is_written(tmp_path: Path) -> None:
    shutil.copy(HOME / "docs" / "promotion.md", tmp_path)
    command = [sys.executable, str(HOME / "benchmarks" / "promotion.py"), "--runs", "15"]
    done = subprocess.run(
        [*command, "--write", str(tmp_path)], capture_output=True, text=True, check=False, cwd=HOME
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "promotion.md").read_text()
    assert all(table in page for table in done.stdout.split("\n\n")[1:])
    assert "MISSED" not in page and "BROKEN" not in page
    marks = xml.dom.minidom.parse(str(tmp_path / "promotion.svg")).getElementsByTagName("circle")
    assert len(marks) == 2 * 8 * 5 + 5  # false and found, of each rule on each family, and the legend
