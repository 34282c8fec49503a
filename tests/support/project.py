"""A user's project in a directory: a target, a manifest, and `hpcsweep` called in it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support import preloaded
from tests.support.clusters import HPCSWEEP, INGEST_LATER, Cluster
from tests.support.wait import wait_until

CLI_S = 120.0
# Each execution of a case leaves a line with its x, whatever becomes of it, and stays as long as
# there is a file `hold.X`.
TARGET = """\
import time
from pathlib import Path

HERE = Path(__file__).parent


def run(x):
    with (HERE / "executions").open("a") as stream:
        stream.write(f"{x}\\n")
    while (HERE / f"hold.{x}").exists():
        time.sleep(0.02)
    return {"square": x * x}
"""
# Columns that depend on time and place of a run, and on the attempt.
ACCIDENTAL = frozenset(
    {"rank", "token", "started", "ended", "wall_seconds", "cpu_seconds", "max_rss_bytes", "host"}
    | {"job_id", "sweep"}
)


class Project:
    """One sweep of `cases` cases x = 0, 1, 2, …; `more` are further keys of its manifest.

    Its tasks ingest their journals only if they are asked to: see `INGEST_LATER`.
    """

    def __init__(
        self,
        cluster: Cluster,
        root: Path,
        cases: int,
        *,
        target: str = TARGET,
        tasks_ingest: bool = False,
        **more: Any,
    ) -> None:
        self.cluster = cluster
        self._settings = {} if tasks_ingest else INGEST_LATER
        self.root = root
        self.name = "sweep"
        self.manifest: dict[str, Any] = {
            "name": self.name,
            "target": "target.py:run",
            "source": {"grid": {"x": list(range(cases))}},
            "seed": 7,
            "slurm": {"time": "00:10:00", "mem": "100M"},
        } | more
        root.mkdir(parents=True, exist_ok=True)
        (root / "target.py").write_text(target)
        self.write()

    def write(self, **changes: Any) -> None:
        """Write the manifest again, changed."""
        self.manifest |= changes
        (self.root / "manifest.json").write_text(json.dumps(self.manifest))

    def hold(self, *xs: int) -> None:
        """Let these cases run until they are released."""
        for x in xs:
            (self.root / f"hold.{x}").touch()

    def release(self, *xs: int) -> None:
        """Let held cases end."""
        for x in xs:
            (self.root / f"hold.{x}").unlink()

    def wait_begun(self, *xs: int, times: int = 1) -> None:
        """Wait until each of these cases was begun so many times."""
        wait_until(
            lambda: all((seen := self.executions())[x] >= times for x in xs) or str(seen),
            CLI_S,
            f"cases {xs} begun {times} times",
        )

    def wait_status(
        self, holds: Callable[[dict[str, Any]], bool], what: str, **more: str
    ) -> dict[str, Any]:
        """Poll the status until the condition holds, and return it."""

        def poll() -> dict[str, Any] | str:
            seen = self.status(**more)
            return seen if holds(seen) else json.dumps(seen)

        return wait_until(poll, CLI_S, what, poll_s=0.3)

    @property
    def sweep(self) -> Path:
        """The sweep directory."""
        return self.root / "outputs" / self.name

    @property
    def job_names(self) -> str:
        """What the names of all jobs of this sweep begin with."""
        key = json.loads((self.sweep / "sweep.json").read_bytes())["key"]
        return f"{self.name}.{key[:8]}."

    # -- hpcsweep -------------------------------------------------------------------------------

    def env(self, **more: str) -> dict[str, str]:
        """The whole environment of a command in the project."""
        return self.cluster.env(**self._settings | more)

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start `hpcsweep` in the project."""
        return subprocess.Popen(
            [HPCSWEEP, *arguments],
            cwd=self.root,
            env=self.env(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, arguments: Sequence[str], env: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run `hpcsweep` in the project to its end."""
        return preloaded.run([HPCSWEEP, *arguments], self.root, env, CLI_S)

    def cli(
        self, *arguments: str, code: int | None = 0, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `hpcsweep` in the project and expect an exit code, and never a traceback.

        It is a fork, see `preloaded`, unless a variable is set that Python reads at its start.
        """
        done = self.run(arguments, self.env(**more))
        outcome = f"hpcsweep {' '.join(arguments)} ended with {done.returncode}"
        assert code is None or done.returncode == code, f"{outcome}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr, f"{outcome}\n{done.stdout}{done.stderr}"
        return done

    def submit(
        self, *options: str, code: int | None = 0, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """`hpcsweep submit` with the project's manifest."""
        return self.cli("submit", "manifest.json", *options, code=code, **more)

    def status(self, **more: str) -> dict[str, Any]:
        """The document of `status --json`."""
        text = self.cli("status", self.name, "--json", code=0, **more).stdout
        document: dict[str, Any] = json.loads(text)
        return document

    def collect(self) -> list[dict[str, Any]]:
        """The rows of `collect --format jsonl`."""
        text = self.cli("collect", self.name, "--format", "jsonl").stdout
        return [json.loads(line) for line in text.splitlines()]

    # -- what is left on disk ---------------------------------------------------------------------

    def rows(self) -> dict[int, dict[str, Any]]:
        """The rows of the sweep index, by index, read without hpcsweep."""
        return stored(self.sweep / "store.sqlite3")

    def job(self, submission: int = 1, part: int = 0) -> str:
        """The job id of an array."""
        path = self.sweep / "submissions" / f"{submission:04d}" / f"part-{part:04d}.job.json"
        return str(json.loads(path.read_bytes())["job_id"])

    def executions(self) -> Counter[int]:
        """How often each x was run."""
        path = self.root / "executions"
        return Counter(map(int, path.read_text().split()) if path.exists() else ())

    def run_directories(self) -> dict[str, dict[str, Any]]:
        """The metadata of every published run directory by its path in the sweep directory."""
        by_path = {}
        for path in self.sweep.glob("runs/**/log_*/metadata.json"):
            if ".attempts" not in path.parts:
                relative = str(path.parent.relative_to(self.sweep))
                by_path[relative] = json.loads(path.read_bytes())
        return by_path


def stored(path: Path) -> dict[int, dict[str, Any]]:
    """The rows of a sweep index, by index. Fails where an index has two."""
    query = (
        "SELECT p.idx AS place, c.* FROM (SELECT sweep, idx, case_id FROM cases WHERE idx >= 0 "
        "UNION ALL SELECT sweep, idx, case_id FROM places) p JOIN cases c USING (sweep, case_id) "
        "ORDER BY place"
    )
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute(query)]
        (count,) = connection.execute("SELECT count(*) FROM cases").fetchone()
    by_index = {row.pop("place"): row for row in rows}
    assert len(by_index) == len(rows)
    assert len({row["case_id"] for row in rows}) == count, "a case that has no place"
    for row in rows:
        del row["idx"]
    return by_index


def essential(rows: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Rows without the columns that differ from run to run."""
    return {
        index: {name: value for name, value in row.items() if name not in ACCIDENTAL}
        for index, row in rows.items()
    }


def check_whole(project: Project, cases: int) -> None:
    """Check that every case is complete once, with its files, and no array was sent twice."""
    rows = project.rows()
    assert {index: row["status"] for index, row in rows.items()} == dict.fromkeys(
        range(cases), "complete"
    )
    assert [json.loads(rows[i]["metrics"]) for i in rows] == [{"square": i * i} for i in rows]
    directories = project.run_directories()
    assert {row["run_dir"]: row["token"] for row in rows.values()} == {
        path: metadata["token"] for path, metadata in directories.items()
    }
    check_arrays(project)


def check_arrays(project: Project) -> None:
    """Each part that was handed in has one array, the one on record; a void one has none."""
    for folder in sorted((project.sweep / "submissions").iterdir()):
        for intent in folder.glob("part-*.intent.json"):
            jobs = project.cluster.arrays(json.loads(intent.read_bytes())["job_name"])
            record = intent.with_name(intent.name.replace("intent", "job"))
            recorded = [json.loads(record.read_bytes())["job_id"]] if record.exists() else []
            assert jobs == recorded, f"{intent} has the arrays {jobs}, on record is {recorded}"
