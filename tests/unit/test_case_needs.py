"""The keys of a manifest that say what one case needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hpcsweep.errors import ManifestError
from hpcsweep.manifest.frozen import FrozenManifest, from_json, to_json
from hpcsweep.manifest.user import load_manifest
from hpcsweep.records import CaseNeeds

GIB = 1 << 30
GOOD = "name: s\ntarget: target.py:run\nsource: {grid: {x: [1, 2]}}\n"
Load = Callable[[str], FrozenManifest]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    (tmp_path / "target.py").touch()

    def loaded(text: str) -> FrozenManifest:
        path = tmp_path / "m.yaml"
        path.write_text(GOOD + text)
        return load_manifest(path)[0]

    return loaded


@pytest.mark.parametrize(
    ("keys", "options", "needs"),
    [
        # One case at a time has all CPUs of its task.
        ("slurm: {cpus-per-task: 4}", {"cpus-per-task": "4"}, CaseNeeds()),
        ("cpus_per_case: 4", {"cpus-per-task": "4"}, CaseNeeds()),
        (
            "slurm: {cpus-per-task: 4}\ncpus_per_case: 1",
            {"cpus-per-task": "4"},
            CaseNeeds(cpus=1, slots=4),
        ),
        (
            "slurm: {cpus-per-task: 5}\ncpus_per_case: 2",
            {"cpus-per-task": "5"},
            CaseNeeds(cpus=2, slots=2),
        ),
        # What the options do not say follows from the cases.
        ("slots: 4", {"cpus-per-task": "4"}, CaseNeeds(slots=4)),
        ("slots: 1", {}, CaseNeeds()),
        (
            "slots: 2\ncpus_per_case: 3\nmem_per_case: 1G\ngpus_per_case: 1",
            {"cpus-per-task": "6", "mem": "2048M", "gpus-per-node": "2"},
            CaseNeeds(cpus=3, mem_bytes=GIB, gpus=1, slots=2),
        ),
        (
            "slurm: {gres: 'gpu:4', partition: gpu}\ngpus_per_case: 1",
            {"gres": "gpu:4", "partition": "gpu", "cpus-per-task": "4"},
            CaseNeeds(gpus=1, slots=4),
        ),
        (
            "slurm: {partition: gpu}\ngpus_per_case: 2",
            {"partition": "gpu", "gpus-per-node": "2"},
            CaseNeeds(gpus=2, slots=1),
        ),
        (
            "slurm: {gpus-per-socket: 2}\ngpus_per_case: 1",
            {"gpus-per-socket": "2"},
            CaseNeeds(gpus=1, slots=1),
        ),
        (
            "slurm: {mem: 8G, cpus-per-task: 16}\nmem_per_case: 3G",
            {"mem": "8G", "cpus-per-task": "16"},
            CaseNeeds(mem_bytes=3 * GIB, slots=2),
        ),
        # Only the task knows how many CPUs its node has.
        (
            "slurm: {exclusive: true}\ncpus_per_case: 2\nmem_per_case: 1G",
            {"exclusive": "", "cpus-per-task": "2"},
            CaseNeeds(cpus=2, mem_bytes=GIB),
        ),
        # The processes of MPI belong to one case.
        (
            "slurm: {ntasks: 4}\ncpus_per_case: 2",
            {"ntasks": "4", "cpus-per-task": "2"},
            CaseNeeds(),
        ),
    ],
)
def test_needs_and_options(
    load: Load, keys: str, options: dict[str, str], needs: CaseNeeds
) -> None:
    manifest = load(keys)
    assert (manifest.resources.options, manifest.needs) == (options, needs)
    assert from_json(to_json(manifest)) == manifest


def test_a_manifest_without_needs_has_the_fingerprint_that_it_had(load: Load) -> None:
    assert "needs" not in to_json(load("cpus_per_case: 2"))
    assert load("cpus_per_case: 2").fingerprint == load("slurm: {cpus-per-task: 2}").fingerprint
    assert load("slots: 2").fingerprint != load("slurm: {cpus-per-task: 2}").fingerprint


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            "slots: 8\nslurm:\n  cpus-per-task: 4",
            (
                "m.yaml:4: slots: is 8, but the task has 4 CPUs by slurm.cpus-per-task (m.yaml:6), "
                "and each case needs 1. Write 4 or less, or ask for more."
            ),
        ),
        (
            "slots: 2\ncpus_per_case: 3\nslurm:\n  cpus-per-task: 4",
            (
                "m.yaml:4: slots: is 2, but the task has 4 CPUs by slurm.cpus-per-task (m.yaml:7), "
                "and each case needs 3. Write 1 or less, or ask for more."
            ),
        ),
        (
            "mem_per_case: 3G\nslurm:\n  mem: 2G",
            "m.yaml:4: mem_per_case: is 3072M, but slurm.mem is 2G (m.yaml:6). Keep one of them.",
        ),
        (
            "slots: 3\nmem_per_case: 1G\nslurm:\n  mem: 2G",
            (
                "m.yaml:4: slots: is 3, but the task has 2048M of memory by slurm.mem (m.yaml:7), "
                "and each case needs 1024M. Write 2 or less, or ask for more."
            ),
        ),
        (
            "gpus_per_case: 2\nslurm:\n  gres: gpu:3",
            (
                "m.yaml:4: gpus_per_case: is 2, and the 3 GPUs of a task (m.yaml:6) cannot be "
                "divided by it. Ask for a multiple of it: what is left over would idle."
            ),
        ),
        (
            "gpus_per_case: 2\nslurm:\n  gpus: 1",
            "m.yaml:4: gpus_per_case: is 2, but slurm.gpus is 1 (m.yaml:6). Keep one of them.",
        ),
        (
            "slots: 2\nslurm:\n  nodes: 2",
            (
                "m.yaml:4: slots: is 2, but a case has several processes by slurm.nodes "
                "(m.yaml:6). Remove one of them: processes of MPI belong to one case."
            ),
        ),
        ("slots: 0", "m.yaml:4: slots: is 0. It must be 1 or more."),
        ("slots: many", "m.yaml:4: slots: is the text 'many', not a whole number."),
        ("gpus_per_case: 0.5", "m.yaml:4: gpus_per_case: is the number 0.5, not a whole number."),
        (
            "mem_per_case: much",
            (
                "m.yaml:4: mem_per_case: is the text 'much', not an amount of memory. "
                "Write, for example, 64G."
            ),
        ),
    ],
)
def test_mistakes(load: Load, tmp_path: Path, keys: str, expected: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load(keys)
    _, *found = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert found == [f"  - {expected}"]


def test_one_mistake_is_not_two(load: Load) -> None:
    """A bad option is reported once, not again by what the cases need."""
    with pytest.raises(ManifestError) as caught:
        load("cpus_per_case: 2\nslurm: {cpus-per-task: x}")
    assert len(str(caught.value).splitlines()) == 2
