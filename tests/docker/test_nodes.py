"""One sweep while its cluster fails: nodes, network, controller, databases, clocks, disk."""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, permutations
from pathlib import Path
from typing import Any

import pytest

from tests.support.container_cluster import ContainerCluster
from tests.support.container_sweep import ContainerSweep
from tests.support.docker_engine import docker
from tests.support.status_watch import SETTINGS, StatusWatch
from tests.support.wait import wait_until

# `-o log_cli_level=INFO` shows the figures of a run.
logger = logging.getLogger(__name__)
pytestmark = pytest.mark.xdist_group("failing")
HERE = Path(__file__).parent
# Eight chunks: those of a lost node find room on the other two. Each takes five minutes, and the
# failures three to four, so that tasks run at each of them.
CASES, CHUNK, CASE_S = 160, 20, 15
FAULT_S = 60
WAIT_S = 300
# `ended/X` is made by the first execution of X that ends; its time is that of the kernel.
TARGET = """\
import contextlib
import time
from pathlib import Path

HERE = Path(__file__).parent


def slow(x):
    time.sleep({seconds})
    return end(x)


def fill(x, log):
    (log.path / "block").write_bytes(bytes(1 << 20))
    time.sleep(0.5)
    return end(x)


def end(x):
    with contextlib.suppress(FileExistsError):
        (HERE / "ended" / str(x)).touch(exist_ok=False)
    return {{"square": x * x}}
"""
# The clocks of c1 and c3 are 300 s apart; times of files stay those of the server.
AHEAD_S = {"c1": -150, "c2": 0, "c3": 150}
CLOCKS = [
    "case $SLURMD_NODENAME in "
    + " ".join(f"{node}) FAKETIME={AHEAD_S[node]:+d}s;;" for node in AHEAD_S)
    + " esac",
    "export NO_FAKE_STAT=1 FAKETIME LD_PRELOAD=/shared/libfaketime.so.1",
]


class NodeSweep(ContainerSweep):
    """A sweep, and what it has left on disk."""

    def ends(self) -> list[float]:
        """When cases ended for the first time, by the clock of the machine."""
        done = self.cluster.run(f"find {self.home}/ended -type f -printf '%C@\\n'")
        return [float(line) for line in done.stdout.split()]

    def tokens(self) -> dict[str, str]:
        """The token of every published run directory, by its path in the sweep directory."""
        script = "find runs -path runs/.attempts -prune -o -name metadata.json -print"
        done = self.cluster.run(f"cd {self.directory}; {script} | xargs grep -H '\"token\"'")
        found = {}
        for line in done.stdout.splitlines():
            path, _, text = line.partition("/metadata.json:")
            found[path] = text.split('"')[3]
        return found

    def records(self) -> dict[str, list[dict[str, Any]]]:
        """The records of each journal."""
        done = self.cluster.run(f"cd {self.directory}; grep -r '' journal")
        found = defaultdict(list)
        for line in done.stdout.splitlines():
            path, _, record = line.partition(":")
            found[path].append(json.loads(record.split(" ", 1)[1]))
        return found


@pytest.fixture(scope="module")
def failing(images: frozenset[str], libfaketime: Path) -> Iterator[ContainerCluster]:
    """A cluster of the newest Slurm for the tests that disrupt it."""
    version = max(images)
    with ContainerCluster(version, "failing", HERE / "faulty.yaml") as cluster:
        docker("cp", libfaketime, f"{cluster.container('login')}:/shared/libfaketime.so.1")
        yield cluster


def test_every_case_is_complete_once_whatever_fails(failing: ContainerCluster) -> None:
    home = "/shared/home/ada/nodes"
    failing.run(f"mkdir -p {home}/ended")
    sweep = NodeSweep(
        *(failing, home, TARGET.format(seconds=CASE_S)),
        target="target.py:slow",
        source={"grid": {"x": list(range(CASES))}},
        chunk=CHUNK,
        setup=CLOCKS,
        store="postgresql:///?service=sweeps",
    )
    sweep.hpcsweep("submit manifest.json")

    with StatusWatch(failing, sweep.directory) as watch:
        wait_until(lambda: begun_on_each(sweep) or "too few", WAIT_S, "each task has ended a case")
        kill_a_node(failing)
        cut_off(failing)
        pause_the_controller(failing, watch)
        kill_the_databases(failing, watch)
        wait_until(lambda: is_settled(watch) or str(watch.last), WAIT_S, "no task is left")
        # Cases of a task that Slurm gave up are interrupted, and a submit sends them again.
        if not watch.last["complete"]:
            sweep.submit(check=True)
        wait_until(lambda: watch.last["complete"] or str(watch.last), WAIT_S, "all complete")

    check(sweep, watch)


def begun_on_each(sweep: NodeSweep) -> bool:
    """Whether each chunk has a case that ended, so each task is in the middle of its chunk."""
    done = sweep.cluster.run(f"ls {sweep.home}/ended")
    return {int(x) // CHUNK for x in done.stdout.split()} == set(range(CASES // CHUNK))


def busiest(cluster: ContainerCluster) -> tuple[str, list[str]]:
    """The node with the most running tasks, and these."""

    def running() -> dict[str, list[str]] | str:
        found = defaultdict(list)
        queue = cluster.run("squeue -h -r -o '%i %T %N %r'").stdout
        for line in queue.splitlines():
            task, state, node, *_ = line.split()
            if state == "RUNNING":
                found[node].append(task)
        return found or queue + cluster.run("sinfo -N -o '%N %T %E'").stdout

    # Slurm calls a node down that answers too late on a slow machine, and its tasks go elsewhere.
    nodes = wait_until(running, WAIT_S, "a task runs")
    return max(nodes.items(), key=lambda item: len(item[1]))


def kill_a_node(cluster: ContainerCluster) -> None:
    """Cut the power of a node until Slurm has noticed, so that its tasks start elsewhere."""
    node, _ = busiest(cluster)
    docker("kill", cluster.container(node))

    def state() -> str:
        return cluster.run(f"sinfo -h -n {node} -o %T").stdout.strip()

    wait_until(lambda: "down" in (seen := state()) or seen, WAIT_S, f"{node} is down")
    docker("start", cluster.container(node))
    wait_until(lambda: "down" not in (seen := state()) or seen, WAIT_S, f"{node} is back")


def cut_off(cluster: ContainerCluster) -> None:
    """Take a node from the network, and give it back when its chunks have a second worker each.

    Its first workers run on: they need nothing but the shared volume.
    """
    node, chunks = busiest(cluster)
    link = ("exec", cluster.container(node), "ip", "link", "set", "eth0")
    docker(*link, "down")
    since = time.time()

    def elsewhere() -> bool | str:
        running = cluster.run("squeue -h -r -t R -o '%i %N'").stdout
        started = dict(line.split() for line in running.splitlines())
        twice = [chunk for chunk in chunks if started.get(chunk, node) != node]
        return (time.time() - since >= FAULT_S and twice == chunks) or running

    wait_until(elsewhere, WAIT_S, f"Slurm starts chunks of {node} anew")
    docker(*link, "up")


def pause_the_controller(cluster: ContainerCluster, watch: StatusWatch) -> None:
    """Let slurmctld hang: its port is open, and it does not answer."""
    docker("pause", cluster.container("slurmctld"))
    since = time.time()
    try:
        wait_until(lambda: time.time() - since > FAULT_S, 2 * FAULT_S, "a minute has passed")
        wait_until(
            lambda: any(
                answer.time > since and (answer.document or {})["cluster"]["problem"]
                for answer in watch.documents
            ),
            WAIT_S,
            "a status met the controller that hangs",
        )
    finally:
        docker("unpause", cluster.container("slurmctld"))


def kill_the_databases(cluster: ContainerCluster, watch: StatusWatch) -> None:
    """Kill MariaDB and PostgreSQL under running tasks; start them when a status has met that."""
    # After its pause slurmctld may call every node down and requeue all tasks.
    busiest(cluster)
    services = [cluster.container(name) for name in ("mariadb", "postgres")]
    docker("kill", *services)
    since = time.time()
    wait_until(
        lambda: any(a.time > since and a.document is None for a in watch.answers),
        WAIT_S,
        "a status met the dead database",
    )
    docker("start", *services)


def is_settled(watch: StatusWatch) -> bool:
    """Whether the last status knows of no task that may still run."""
    return bool(watch.documents) and not watch.last["tasks"]


def check(sweep: NodeSweep, watch: StatusWatch) -> None:
    """Each case complete once; run directories, journals and both indexes agree."""
    table = sweep.collect()
    assert [(row["status"], row["square"]) for row in table] == [
        ("complete", x * x) for x in range(CASES)
    ]
    records = sweep.records()
    published = defaultdict(set)
    for record in chain.from_iterable(records.values()):
        if record.get("status") == "complete" and "run_dir" in record:
            published[record["run_dir"]].add(record["attempt"][3])
    tokens = sweep.tokens()
    assert {row["run_dir"] for row in table} == set(tokens)
    # Of two workers of one chunk both end a case, and one of them publishes it.
    assert all(token in published[path] for path, token in tokens.items())
    sweep.hpcsweep(f"ingest {sweep.directory} --rebuild")
    assert sweep.collect() == table
    watch.check(sweep.ends())
    together = chunks_of_two_workers(list(records.values()))
    assert together
    started = sum(record["kind"] == "begin" for one in records.values() for record in one)
    logger.info(
        "%d cases, %d attempts, %d starts of tasks, %d chunks with two workers at once; "
        "%d answers of status, %d of them errors",
        *(CASES, started, len(records), len(together)),
        *(len(watch.answers), len(watch.answers) - len(watch.documents)),
    )


def chunks_of_two_workers(journals: list[list[dict[str, Any]]]) -> set[int]:
    """Chunks of which a task ended a case after another task of it had started."""
    found = set()
    for one, other in permutations(journals, 2):
        if one[0]["kind"] == other[0]["kind"] == "task" and one[0]["chunk"] == other[0]["chunk"]:
            last = max((at(one[0], end["ended"]) for end in one if "ended" in end), default=0.0)
            if at(one[0], one[0]["time"]) < at(other[0], other[0]["time"]) < last:
                found.add(one[0]["chunk"])
    return found


def at(task: dict[str, Any], text: str) -> float:
    """A time of a task's journal by the clock of the machine."""
    return datetime.fromisoformat(text).timestamp() - AHEAD_S[task["node"]]


def test_a_full_volume_pauses_a_sweep(failing: ContainerCluster) -> None:
    # 24 MB have no room for a ballast of 16 and twelve cases of one.
    cases = 12
    failing.run("mkdir -p /small/full/ended; head -c 16M /dev/zero >/small/ballast")
    sweep = NodeSweep(
        *(failing, "/small/full", TARGET.format(seconds=CASE_S)),
        target="target.py:fill",
        source={"grid": {"x": list(range(cases))}},
        chunk=4,
    )

    command = f"cd {sweep.home}; {SETTINGS} hpcsweep submit manifest.json --wait 2>&1"
    with StatusWatch(failing, sweep.directory) as watch, failing.start(command) as waiting:
        wait_until(lambda: is_paused(watch) or str(watch.answers[-1:]), WAIT_S, "a paused sweep")
        before = sweep.tokens()
        failing.run("rm /small/ballast")
        said, _ = waiting.communicate(timeout=WAIT_S)

    assert waiting.returncode == 0, said
    assert [(row["status"], row["square"]) for row in sweep.collect()] == [
        ("complete", x * x) for x in range(cases)
    ]
    watch.check(sweep.ends())
    after = sweep.tokens()
    assert before.items() <= after.items()
    ends = [end for each in sweep.records().values() for end in each if is_end(end)]
    # No more than once for each case: a worker whose journal finds no room cannot say `complete`
    # either, and the next one reads it in the run directory.
    complete = [end["index"] for end in ends if end["status"] == "complete"]
    assert sorted(complete) == list(range(cases))
    assert {end["reason"] for end in ends if end["status"] != "complete"} == {"quota"}
    logger.info(
        "%d cases, %d of them complete before there was room, %d ended by the full volume, "
        "%d answers of status",
        *(cases, len(before), len(ends) - cases, len(watch.answers)),
    )


def is_end(record: dict[str, Any]) -> bool:
    """Whether a record of a journal is the end of a case."""
    return record["kind"] == "end" and "index" in record


def is_paused(watch: StatusWatch) -> bool:
    """Whether the last status says that a volume is full, and that no task may still run."""
    return bool(is_settled(watch) and watch.last["paused"])


def test_nothing_is_left_of_a_cluster_that_failed(failing: ContainerCluster) -> None:
    docker("kill", failing.container("c1"))
    docker("pause", failing.container("c2"))
    mine = f"--filter=label=com.docker.compose.project={failing.project}"
    kinds = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
    assert all(docker(*kind, "--quiet", mine).stdout for kind in kinds)

    failing.down()

    assert [docker(*kind, "--quiet", mine).stdout for kind in kinds] == ["", "", ""]
