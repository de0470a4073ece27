"""Workers on hosts that share nothing but a network, in clusters that were begun with `ray start` by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from subprocess import PIPE

import pytest
from hosts import EVOLVE, HEAD, RAY_START, Host, hosts

from evolve.types import Json
from fitness.doubles import number_problem
from populations.ledger import GitLedger

pytestmark = pytest.mark.hosts

SLOW = "import time\n\n\ndef solve(case):\n    time.sleep(1 / 20)\n    return 0.0\n"
ASKED = ["--operators", "evolve.doubles.Nudge", "--sandbox", "process", "--json", "--to", "/tmp/run.git"]
PLENTY_SECONDS = 300.0


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PLENTY_SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def trials(host: Host) -> list[Json]:
    at = host.path("run.git")
    if not (at / "refs/heads/events").exists() and not (at / "packed-refs").exists():
        return []
    with GitLedger.read(at) as ledger:
        return [event.decision["trial"] for event in ledger.events() if event.kind == "trial"]


# Ray's own provider for tests: its nodes are raylets of the head's host. It wants all of these keys.
PROVIDER = {"type": "fake_multinode", "use_node_id_as_ip": True, "disable_node_updaters": True}
LISTS = [f"{what}_commands" for what in ("initialization", "setup", "head_setup", "worker_setup")]
LISTS += ["head_start_ray_commands", "worker_start_ray_commands"]
LISTS += ["cluster_synced_files", "rsync_exclude", "rsync_filter"]
AUTOSCALING = {
    **{name: [] for name in LISTS},
    **{name: {} for name in ("auth", "docker", "file_mounts")},
    "file_mounts_sync_continuously": False,
    "cluster_name": "tested",
    "max_workers": 2,
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 0.05,
    "provider": {**PROVIDER, "disable_launch_config_check": True},
    "head_node_type": "ray.head.default",
    "available_node_types": {
        "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "pair": {
            "resources": {"CPU": 2, "object_store_memory": 80_000_000},
            "node_config": {},
            "min_workers": 0,
            "max_workers": 2,
        },
    },
}


def test_hosts_that_share_no_files_do_the_work_of_a_run_and_take_it_over() -> None:
    """Its driver is killed on one, it goes on from a clone on another, and a third is unplugged meanwhile."""
    with hosts(3) as (first, second, third):
        address = f"{first.address}:6379"
        first.run(*RAY_START, *HEAD)
        join = [*RAY_START, f"--address={address}", "--num-cpus=2"]
        joining = [host.start(*join) for host in (second, third)]
        assert [each.wait(PLENTY_SECONDS) for each in joining] == [0, 0]
        for host in (first, second):
            number_problem(host.path("numbers"), SLOW)
        command = [*EVOLVE, "run", "/tmp/numbers", "--workers", "4", "--trials", "120", *ASKED]

        driver = first.start(*command, "--cluster", "auto")
        until(lambda: len(trials(first)) > 20 or driver.poll() is not None)
        first.kill(driver)
        first.run("git", "daemon", "--detach", "--base-path=/tmp", "--export-all", "/tmp")
        second.run("git", "clone", "-q", "--mirror", f"git://{first.address}/run.git", "/tmp/run.git")
        before = trials(second)

        driver = second.start(*command, "--cluster", address, stdout=PIPE)
        until(lambda: len(trials(second)) > len(before) + 10)
        third.unplug()
        out, _ = driver.communicate(timeout=PLENTY_SECONDS)
        assert driver.returncode == 0 and json.loads(out)["failures"] == {}
        found = trials(second)
        assert found[: len(before)] == before and len(found) == len(set(found)) == 121
        second.run(*EVOLVE, "verify", "/tmp/run.git")


def test_an_autoscaling_cluster_is_asked_for_nodes_that_work_and_go_again() -> None:
    with hosts(1) as (host,):
        number_problem(host.path("numbers"), SLOW)
        host.path("scaling.json").write_text(json.dumps(AUTOSCALING))
        own = ["env", "RAY_FAKE_CLUSTER=1", "AUTOSCALER_UPDATE_INTERVAL_S=1"]
        host.run(*own, *RAY_START, *HEAD, "--autoscaling-config=/tmp/scaling.json")
        command = [*EVOLVE, "run", "/tmp/numbers", "--workers", "4", "--trials", "40", *ASKED]
        with host.start(*command, "--cluster", "auto", stdout=PIPE, stderr=PIPE) as driver:
            until(lambda: len(host.raylets()) == 3 or driver.poll() is not None)
            out, err = driver.communicate()
        assert driver.returncode == 0, err
        assert json.loads(out)["trials"] == 40 and json.loads(out)["failures"] == {}
        said = err.splitlines()
        waits = said.index("waiting: no node has a seat for 4 workers of CPU 1")
        assert "going on" in said[waits:]
        until(lambda: len(host.raylets()) == 1)


@pytest.mark.docker
def test_a_daemon_that_sees_none_of_a_hosts_files_holds_its_programs_all_the_same() -> None:
    """On a Ray that is started for it alone, and leaves no token that a later head would ask for."""
    with hosts(1) as (host,):
        number_problem(host.path("numbers"))
        asked = [*ASKED, "--sandbox", "docker", "--trials", "2", "--workers", "1", "--cluster", "auto"]
        assert json.loads(host.run(*EVOLVE, "run", "/tmp/numbers", *asked))["sandbox"] == "docker"
        assert not host.path(".ray").exists()
