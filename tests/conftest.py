"""What tests of containers need: a Docker daemon with the project's image. In CI its absence is a failure."""

import os
import subprocess

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "docker: needs a Docker daemon with the image evolve-sandbox")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("docker")]
    if not marked or "CI" in os.environ:
        return
    asked = subprocess.run(["docker", "image", "inspect", "evolve-sandbox"], capture_output=True, check=False)
    if asked.returncode != 0:
        skip = pytest.mark.skip(reason="no Docker daemon with the image evolve-sandbox; .ci/run makes both")
        for item in marked:
            item.add_marker(skip)
