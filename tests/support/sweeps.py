"""A sweep directory without a cluster: frozen, planned, and its tasks started by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

from hpcsweep import ids
from hpcsweep.files import json_bytes, make_directory, write_new
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import all_journals, read
from hpcsweep.manifest import freezing, frozen
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.runs.find import DamageReport
from hpcsweep.runs.logs import CaseLogs, case_logs
from hpcsweep.sources import ParameterSource
from hpcsweep.sweepdir.directory import FactKind, SweepDirectory
from hpcsweep.sweepdir.parts import make_node_parts, make_parts
from hpcsweep.sweepdir.plan import Layout, Plan
from tests.support import preloaded
from tests.support.journals import Record

TASK_S = 60.0
RULES = {
    "beat_s": 60.0,
    "ingest": False,
    "ingest_interval_s": 60.0,
    "ingest_deadline_s": 60.0,
    "term_grace_s": 0.5,
}
TARGET = Target(file="target.py", function="run")


class MadeSweep:
    """One sweep in `root`, by default `s`, whose target is `root/target.py:run`, or an argv."""

    def __init__(
        self,
        root: Path,
        source: ParameterSource,
        *,
        python: str = "def run(**params):\n    return dict(params)\n",
        argv: Sequence[str] = (),
        name: str = "s",
        **fields: Any,
    ) -> None:
        self.root = root
        self.name = name
        (root / "target.py").write_text(python)
        self.target = Target(argv=tuple(argv)) if argv else TARGET
        self.directory = SweepDirectory.create(root / name, name)
        self.freeze(source, **fields)

    def copy(self, root: Path) -> Self:
        """The same sweep in another directory; its target stays where it is."""
        copy = type(self).__new__(type(self))
        copy.__dict__ |= self.__dict__
        shutil.copytree(self.path, root / self.name)
        copy.directory = SweepDirectory.open(root / self.name)
        return copy

    def freeze(self, source: ParameterSource, **fields: Any) -> None:
        """Write a manifest, the newest one from the next `plan` on."""
        replicates = fields.get("replicates", 1)
        described, digest = source.frozen()
        fields = {"cases_sha256": digest, **fields}
        manifest = FrozenManifest(
            name=self.name,
            root=str(self.root),
            target=self.target,
            source=described,
            **fields,
        )
        self.manifest = frozen.sealed(manifest)
        self.source = source.repeat(replicates)
        freezing.write(self.directory.path, self.manifest, self.source)

    def plan(
        self,
        indices: IndexSet | None = None,
        *,
        chunk_size: int = 100,
        runs: str = "all",
        shard_digits: int = 0,
        generation: int = 0,
        options: dict[str, str] | None = None,
        goal: IndexSet | None = None,
        closes: bool = False,
        longest_first: Sequence[int] = (),
        max_array_size: int = 1001,
        node_jobs: int = 0,
        cluster: Mapping[str, str] = {"kind": "slurm", "name": "test", "state_dir": ""},
        **rules: Any,
    ) -> Plan:
        """Write a submission, as if none of its parts had been handed in yet."""
        if indices is None:
            indices = IndexSet.all(self.source.n_cases)
        number = len(self.directory.submissions()) + 1
        chunks = -(-indices.count // chunk_size)
        parts = make_parts(chunks, max_array_size=max_array_size, throttle=0)
        if node_jobs:
            parts = make_node_parts(chunks, jobs=node_jobs, nodes=2)
        plan = Plan(
            submission=number,
            manifest=self.manifest.fingerprint,
            indices=indices,
            chunk_size=chunk_size,
            parts=parts,
            layout=Layout(runs=runs, shard_digits=shard_digits),
            generation=generation,
            options=options,
            goal=goal,
            closes=closes,
            longest_first=tuple(longest_first),
        )
        document = plan.to_json() | {"cluster": dict(cluster), "worker": RULES | rules}
        make_directory(self.directory.submission_dir(number))
        write_new(self.directory.submission_dir(number) / "plan.json", json_bytes(document))
        return plan

    def fact(self, what: FactKind, submission: int = 1, part: int = 0, **content: Any) -> None:
        """Write a file about a part: `intent`, `job`, `void` or `cancel`."""
        write_new(self.directory.part_file(submission, part, what), json_bytes(content))

    def handed_in(self, submission: int = 1, part: int = 0, job_id: str = "100") -> None:
        """Note a part as accepted."""
        self.fact("intent", submission, part, job_name=f"s.{submission}.{part}", time=0.0)
        self.fact("job", submission, part, job_id=job_id, time=0.0)

    # --- its tasks -------------------------------------------------------------------------------

    def start(
        self, task: int = 0, *more: str, prefix: Sequence[str] = (), **how: Any
    ) -> subprocess.Popen[str]:
        """Start an array task as its script does."""
        argv, env = self._worker(task, *more, **how)
        return subprocess.Popen(
            [*prefix, *argv],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, task: int = 0, *more: str, code: int = 0, **how: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run an array task to its end and expect an exit code.

        It is a fork, see `preloaded`, unless a variable is set that Python reads at its start.
        """
        prefix: Sequence[str] = how.pop("prefix", ())
        argv, env = self._worker(task, *more, **how)
        done = preloaded.run([*prefix, *argv], Path.cwd(), env, TASK_S)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def _worker(
        self,
        task: int,
        *more: str,
        submission: int = 1,
        part: int = 0,
        restart: int = 0,
        **environment: str,
    ) -> tuple[list[str], dict[str, str]]:
        """The command in the script of an array task, and the environment of the task."""
        worker = [sys.executable, "-m", "hpcsweep.worker", str(self.directory.path)]
        slurm = {
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_JOB_ID": "100",
            "SLURM_JOB_ID": str(100 + task),
            "SLURM_CLUSTER_NAME": "test",
            "SLURMD_NODENAME": "n1",
            "SLURM_RESTART_COUNT": str(restart) if restart else "",
        }
        return [*worker, str(submission), str(part), *more], os.environ | slurm | environment

    # --- what they left --------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The sweep directory."""
        return self.directory.path

    def records(self, *kinds: str) -> list[Record]:
        """All records of these kinds, journal by journal."""
        root = self.directory.journal_root
        return [
            cast("Record", record)
            for name in all_journals(root)
            for reading in read(root / name)
            for record in reading.records
            if record["kind"] in kinds
        ]

    def ends(self) -> dict[int, Record]:
        """The `end` record of each index. Fails where there are two."""
        ends: dict[int, Record] = {}
        for record in self.records("end"):
            if "index" in record:
                assert record["index"] not in ends, f"two ends of {record['index']}"
                ends[record["index"]] = record
        return ends

    def logs(self, index: int) -> CaseLogs:
        """The logs of a case."""
        (logs,) = case_logs(self.directory, IndexSet.of([index]), DamageReport())
        return logs

    def run_dir(self, index: int) -> Path:
        """Where the published run directory of an index is, or would be."""
        case = self.source[index]
        run_id = ids.run_id(ids.canonical(case.params), case.case_id)
        return self.path / Layout(runs="all").run_dir(case.case_id, run_id)
