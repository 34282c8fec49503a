"""The modes of whole nodes: what a manifest may say, what is sent, and what is known of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import InputError, ManifestError
from hpcsweep.manifest.frozen import from_json, to_json
from hpcsweep.records import CaseNeeds
from hpcsweep.sources import grid
from hpcsweep.state.array_tasks import array_tasks
from hpcsweep.state.outlook import Outlook, outlook_of
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.chunking import Estimate, shared_chunk_size
from hpcsweep.submission.limits import refuse_mode
from hpcsweep.submission.policy import UNASKED, Policy, decide
from hpcsweep.sweepdir.parts import make_node_parts
from hpcsweep.sweepdir.version import Version
from hpcsweep.worker.shared_times import SharedTimeLeft
from hpcsweep.worker.timelimit import TimeLimit
from tests.support import manifests
from tests.support.journals import write_journal
from tests.support.manifests import GOOD, Load
from tests.support.scripted import TIME, Scripted, World, by_chunk
from tests.support.sweeps import MadeSweep

load, write = manifests.load, manifests.write
WHOLE = {"exclusive": "", "cpus-per-task": "1", "ntasks-per-node": "1", "mem": "0"}


# --- the manifest ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "jobs", "nodes", "options"),
    [
        ("mode: array", 0, 0, {}),
        ("mode: node", 1, 1, WHOLE | {"nodes": "1"}),
        ("mode: node\nslurm: {nodes: 4}", 4, 4, WHOLE | {"nodes": "1"}),
        ("mode: single\nslurm: {nodes: 4}", 1, 4, WHOLE | {"nodes": "4", "no-kill": ""}),
        (
            "mode: node\nslurm: {mem: 8G, exclusive: true}",
            1,
            1,
            WHOLE | {"nodes": "1", "mem": "8G"},
        ),
    ],
)
def test_what_a_job_of_whole_nodes_asks_for(
    load: Load, keys: str, jobs: int, nodes: int, options: dict[str, str]
) -> None:
    manifest = load(GOOD + keys)
    assert (manifest.node_jobs, manifest.nodes) == (jobs, nodes)
    assert manifest.resources.options == options
    assert manifest.needs == (CaseNeeds(cpus=1) if nodes else CaseNeeds())
    assert from_json(to_json(manifest)) == manifest


def test_the_needs_of_a_case_count_in_a_whole_node(load: Load) -> None:
    manifest = load(GOOD + "mode: node\ncpus_per_case: 2\nmem_per_case: 1G\ngpus_per_case: 1\n")
    assert manifest.needs == CaseNeeds(cpus=2, mem_bytes=1 << 30, gpus=1)
    assert "gpus-per-node" not in manifest.resources.options


@pytest.mark.parametrize(
    ("keys", "what", "next_step"),
    [
        ("mode: nodes", "mode: is the text 'nodes'", "Did you mean 'node'?"),
        ("mode: single", "mode: is a single job of one node", "`mode: node` for one node"),
        ("mode: single\nslurm: {nodes: 1}", "slurm.nodes: is a single job", "slurm.nodes"),
        ("mode: node\nslurm: {nodes: 2-4}", "slurm.nodes: is 2-4, not a number", "for example, 4"),
        ("mode: node\nslurm: {ntasks: 4}", "slurm.ntasks: is given", "needs `mode: array`"),
        ("mode: node\nslurm: {cpus-per-task: 4}", "slurm.cpus-per-task: is given", "cpus_per_case"),
        ("mode: node\nslurm: {exclusive: user}", "slurm.exclusive: is user", "Leave it out"),
    ],
)
def test_what_cannot_be_with_whole_nodes(load: Load, keys: str, what: str, next_step: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load(GOOD + keys)
    assert what in str(caught.value)
    assert next_step in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "throttle", "runs_nodes", "what"),
    [
        ("array", 2, False, ""),
        ("node", 0, True, ""),
        ("node", 2, True, "a throttle limits array tasks"),
        ("single", 0, False, "starts array tasks only"),
    ],
)
def test_where_there_are_no_whole_nodes(
    mode: str, throttle: int, runs_nodes: bool, what: str
) -> None:
    limits = replace(UNASKED, runs_nodes=runs_nodes)
    if not what:
        refuse_mode(mode, "slurm", limits, throttle)
        return
    with pytest.raises(InputError, match=what):
        refuse_mode(mode, "slurm", limits, throttle)


# --- what is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "jobs", "shares"),
    [(7, 2, [(0, 3), (3, 4)]), (3, 3, [(0, 1), (1, 1), (2, 1)]), (0, 0, [])],
)
def test_jobs_share_the_chunks(chunks: int, jobs: int, shares: list[tuple[int, int]]) -> None:
    parts = make_node_parts(chunks, jobs=jobs, nodes=1)
    assert [(part.first_chunk, part.chunks) for part in parts] == shares
    assert all(part.element(part.first_chunk) == 0 for part in parts)
    assert [part.number for part in parts] == list(range(len(shares)))


def test_more_jobs_than_a_submission_can_have() -> None:
    with pytest.raises(InputError, match="10001 jobs of whole nodes are more than the 10000"):
        make_node_parts(20_000, jobs=10_001, nodes=1)


@pytest.mark.parametrize(
    ("count", "mean_s", "size"),
    [(60, None, 1), (5000, None, 5), (5000, 1.0, 5), (50_000, 1.0, 50), (10**6, 1.0, 100)],
)
def test_chunks_of_whole_nodes_are_small(count: int, mean_s: float | None, size: int) -> None:
    estimate = mean_s and Estimate(mean_s=mean_s, longest_s=mean_s, source="case_seconds")
    assert shared_chunk_size(count, estimate or None) == size


@pytest.mark.parametrize(
    ("limits", "jobs", "sent"),
    [
        (UNASKED, 3, 12),
        (replace(UNASKED, max_jobs=2, jobs=0), 2, 12),
        (replace(UNASKED, max_array_size=0), 3, 12),
        (replace(UNASKED, calls=1), 1, 12),
        (replace(UNASKED, max_jobs=5, jobs=5), 0, 0),
    ],
)
def test_fewer_jobs_run_all_chunks(tmp_path: Path, limits: Limits, jobs: int, sent: int) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(12))))
    outlook = Outlook.of_nothing(Version.of(made.manifest, made.source))
    policy = Policy(node_jobs=3, chunk=2, has_closing_jobs=False)
    batches = decide(outlook, policy, limits)
    assert sum(batch.tasks for batch in batches) == jobs
    assert sum(batch.indices.count for batch in batches) == sent


@pytest.mark.parametrize(("slots", "jobs"), [(1, 3), (2, 3), (3, 2), (100, 1)])
def test_no_job_without_a_chunk_for_each_slot(tmp_path: Path, slots: int, jobs: int) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(12))))
    outlook = Outlook.of_nothing(Version.of(made.manifest, made.source))
    (batch,) = decide(outlook, Policy(node_jobs=3, node_slots=slots, chunk=2), UNASKED)
    assert (batch.tasks, batch.indices.count) == (jobs, 12)


# --- what is known of it --------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """One job of two nodes with four chunks of a case each."""
    found = World(tmp_path, monkeypatch, chunk_size=1, node_jobs=1)
    found.cluster = Scripted(queue={0: "RUNNING"})
    return found


def end_chunk(world: World, chunk: int, reason: str) -> None:
    """The worker's record that a chunk is over."""
    end = {
        "kind": "end",
        "v": 1,
        "manifest": world.made.manifest.fingerprint,
        "attempt": [0, 1, 0, "a" * 16],
        "chunk": chunk,
        "word": 2,
        "status": "interrupted",
        "reason": reason,
        "time": TIME,
    }
    write_journal(world.made.directory.journal_root / f"0001/0/{chunk}.0.c.jsonl", end)


def stalled(world: World) -> dict[int, str]:
    """The indices by the count of tasks that are over and began none of them."""
    with fresh_index(world.made.directory) as sweep_index:
        tasks = array_tasks(world.made.directory, sweep_index)
        counts = outlook_of(world.made.directory, sweep_index, tasks).stalled
        return {count: str(indices) for count, indices in counts.items()}


def test_all_chunks_of_a_job_live_as_long_as_the_job(world: World) -> None:
    world.begin(1, 1)
    view = world.poll()
    assert by_chunk(view.in_state) == {(1, chunk): "RUNNING" for chunk in range(4)}
    assert view.states() == {"RUNNING": 1}
    assert world.verdict_after(5) == {}
    world.vanish(0)
    assert world.verdict_after(5) == dict.fromkeys(range(4), "lost")
    assert stalled(world) == {}


def test_a_job_that_waits_waits_once(world: World) -> None:
    world.cluster = Scripted(queue={0: "PENDING"}, reasons={0: "Resources"})
    view = world.poll()
    assert (view.states(), view.waits()) == ({"PENDING": 1}, {"Resources": 1})


@pytest.mark.parametrize(("reason", "others"), [("timeout", "timeout"), ("quota", "quota")])
def test_what_no_node_took_has_the_reason_of_the_others(
    world: World, reason: str, others: str
) -> None:
    world.begin(1, 1)
    world.begin(2, 2)
    end_chunk(world, 1, reason)
    world.vanish(0)
    assert world.verdict_after(5) == {0: others, 1: reason, 2: "lost", 3: others}
    assert stalled(world) == {}


def test_a_job_that_began_nothing_counts_for_all_its_chunks(world: World) -> None:
    world.vanish(0)
    assert world.verdict_after(5) == dict.fromkeys(range(4), "lost")
    assert stalled(world) == {1: "0-3"}


def test_a_job_has_no_name_for_some_of_its_chunks(world: World) -> None:
    (sent,) = world.poll().parts
    assert sent.names_of([0, 1, 2]) == []
    assert sent.names_of(range(4)) == ["100"]


# --- on a node ------------------------------------------------------------------------------------


def test_the_processes_of_a_node_share_how_long_cases_took() -> None:
    time_left = SharedTimeLeft()
    time_left.limit = TimeLimit(limit_s=1e6)
    assert time_left.suffices()
    pid = os.fork()
    if pid == 0:
        time_left.note(2.0)
        time_left.note(1e6)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert not time_left.suffices()
