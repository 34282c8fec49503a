"""Cases that the user's code makes: a child of the worker makes them, never the worker."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.files import token
from hpcsweep.records import CaseNeeds, Status
from hpcsweep.settings import Settings
from hpcsweep.sources import grid, random, source_from_manifest_dict
from hpcsweep.sources.registry import needs_user_code
from hpcsweep.state.status import status
from hpcsweep.store.ingest import fresh_index
from hpcsweep.tables.collect import collect
from hpcsweep.tables.columns import TableColumns, TableRow
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

# What each function does, it does only in a task: a submit has tried it before.
RULES = """\
import os, signal, time
from pathlib import Path

HERE = Path(__file__).parent
with (HERE / "imported").open("a") as stream:
    stream.write(f"{os.getpid()}\\n")

def act(params):
    x = params["x"]
    if (HERE / "armed").exists():
        with (HERE / "made").open("a") as stream:
            stream.write(f"{x} {os.getppid()} {os.getpid()}\\n")
        if x == "raise": raise RuntimeError("no luck")
        if x == "exit": os._exit(3)
        if x == "exit 0": os._exit(0)
        if x == "kill": os.kill(os.getpid(), signal.SIGKILL)
        if x == "sys.exit": raise SystemExit(5)
        while x == "hang" and (HERE / "armed").exists(): time.sleep(0.02)
    return {**params, "y": f"{x}!"}

class Cases:
    def __len__(self):
        return 3
    def __getitem__(self, index):
        act({"x": index})
        return {"x": index, "y": 1}

class Square:
    def ppf(self, u):
        act({"x": u})
        return u * u

square = Square()
"""
PYTHON = """\
import os, time
from pathlib import Path

def run(x, y):
    while x == "long" and Path(__file__).with_name("armed").exists(): time.sleep(0.02)
    return {"pid": os.getpid(), "parent": os.getppid()}
"""


class UserSweep(MadeSweep):
    """A sweep whose cases `rules.py` in `root` makes."""

    def __init__(self, root: Path, described: dict[str, Any], **more: Any) -> None:
        # A module of its own: this process keeps what it imported.
        self.module = root / f"rules_{token()}.py"
        self.module.write_text(RULES)
        text = json.dumps(described).replace("rules:", f"{self.module.stem}:")
        described = json.loads(text.replace('"ROOT"', json.dumps(str(root))))
        super().__init__(root, source_from_manifest_dict(described), python=PYTHON, **more)
        (root / "armed").touch()
        (root / "imported").unlink()

    def pids(self, name: str) -> set[int]:
        """The processes that imported the module, or made a case."""
        return {int(line.split()[-1]) for line in self.said(name).splitlines()}

    def said(self, name: str) -> str:
        """The text of their file; "" before they wrote it."""
        path = self.root / name
        return path.read_text() if path.exists() else ""


def derived(*xs: object, **more: Any) -> dict[str, Any]:
    inner = grid(x=list(xs)).to_manifest_dict()
    return {"type": "DerivedSource", "source": inner, "derive": "rules:act", "path": "ROOT"} | more


SQUARE = {"type": "CustomDistribution", "reference": "rules:square", "path": "ROOT"}
KINDS: dict[str, dict[str, Any]] = {
    "derive": derived(0, 1, 2),
    "custom": {"type": "CustomSource", "reference": "rules:Cases", "arguments": {}, "path": "ROOT"},
    "distribution": {
        "type": "RandomSource",
        "space": {"x": SQUARE, "y": {"type": "Constant", "value": 1}},
        "n_trials": 3,
        "seed": 1,
    },
    "inside": {
        "type": "ShuffleSource",
        "source": {"type": "ConcatSource", "sources": [derived(0, 1), derived(2)]},
        "seed": 3,
    },
}


def test_each_slot_has_a_child_that_makes_cases(tmp_path: Path) -> None:
    made = UserSweep(tmp_path, derived(*range(9)), needs=CaseNeeds(slots=3))
    made.plan()
    made.run(SLURM_CPUS_ON_NODE="3")
    assert {end["status"] for end in made.ends().values()} == {"complete"}
    assert sorted(made.ends()) == list(range(9))
    assert len(made.pids("imported")) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_worker_never_imports_the_users_code(kind: str, tmp_path: Path) -> None:
    made = UserSweep(tmp_path, KINDS[kind], replicates=2)
    made.plan()
    made.run()
    # Here, before this process makes any.
    said = [[int(pid) for pid in line.split()[-2:]] for line in made.said("made").splitlines()]
    (task,) = made.records("task")
    ends = made.ends()
    assert [ends[index]["status"] for index in range(6)] == ["complete"] * 6
    assert {index: end["case_id"] for index, end in ends.items()} == {
        case.index: case.case_id for case in made.source
    }
    makers = made.pids("imported")
    assert len(makers) == 1  # one child for the whole task
    assert task["pid"] not in makers | {pid for _, pid in said}
    # It forks a process for each case, so that none depends on which were made before it; what it
    # makes itself, it makes while it opens the source.
    forks = [(parent, pid) for parent, pid in said if pid not in makers]
    assert {parent for parent, _ in forks} == makers
    assert len({pid for _, pid in forks}) == len(ends) - len(made.records("same"))
    # Nor is it the child that runs the target, whose memory is its own.
    (parent,) = {end["metrics"]["parent"] for end in ends.values()}
    assert parent not in makers | {task["pid"]}
    chunk = made.records("end")[-1]
    assert (chunk["status"], chunk["reason"]) == ("complete", None)


def test_without_user_code_there_is_no_such_child() -> None:
    plain = grid(x=[{"type": "CustomSource"}]) * random({"y": 1}, 2, 1)
    assert not needs_user_code(plain.to_manifest_dict())
    assert all(map(needs_user_code, KINDS.values()))


@pytest.mark.parametrize(
    ("what", "reason", "words"),
    [
        ("raise", "error", "of case 1 raised RuntimeError: no luck"),
        ("sys.exit", "error", "5"),
        ("exit", "exit_code", "exit code 3"),
        ("exit 0", "exit_code", "exit code 0"),
        ("kill", "signal", "SIGKILL"),
    ],
)
def test_user_code_that_makes_a_case_costs_only_that_case(
    what: str, reason: str, words: str, tmp_path: Path
) -> None:
    made = UserSweep(tmp_path, derived("a", what, "b"))
    made.plan()
    done = made.run()
    ends = made.ends()
    assert {index: end["status"] for index, end in ends.items()} == {0: "complete", 2: "complete"}
    chunk = made.records("end")[-1]
    assert (chunk["status"], chunk["reason"]) == ("failed", reason)
    assert words in chunk["error"]["message"]
    assert f"hpcsweep: index 1 cannot be made: {chunk['error']['message']}" in done.stderr
    # It is told, and the next submit sends it again.
    (tmp_path / "armed").unlink()
    made.handed_in()
    summary = status(made.directory, None, Settings())
    assert summary.counts[Status.FAILED] == 1
    assert summary.reasons == {reason: 1}
    assert summary.is_settled
    made.plan()
    made.run(submission=2)
    with fresh_index(made.directory) as sweep_index:
        assert sweep_index.counts()[Status.COMPLETE.value, None] == 3


def test_a_module_that_is_gone_on_the_node(tmp_path: Path) -> None:
    """Every case says so, the import is tried once, and the worker ends in order."""
    made = UserSweep(tmp_path, derived("a", "b"))
    made.plan()
    made.module.write_text("open(__file__ + '.tried', 'a').write('x'); 1 / 0")
    done = made.run()
    assert made.ends() == {}
    chunk = made.records("end")[-1]
    assert (chunk["status"], chunk["reason"]) == ("failed", "error")
    assert "cannot be imported: ZeroDivisionError" in chunk["error"]["message"]
    assert done.stderr.count("cannot be made") == 2
    assert Path(f"{made.module}.tried").read_text() == "x"


def test_a_case_that_cannot_be_made_is_a_row_without_params(tmp_path: Path) -> None:
    made = UserSweep(tmp_path, derived("a", "raise"))
    made.plan()
    made.run()
    made.handed_in()
    found: list[TableRow] = []

    def take(_: TableColumns, rows: Any) -> None:
        found.extend(rows)

    collect(made.directory, None, Settings(), take)
    assert [(row["index"], row["status"], row.get("x")) for row in found] == [
        (0, "complete", "a"),
        (1, "failed", None),
    ]
    assert "raised RuntimeError: no luck" in found[1]["error"]


def test_a_case_that_is_never_made_in_time(tmp_path: Path) -> None:
    made = UserSweep(tmp_path, derived("a", "hang"), case_timeout_s=3.0)
    made.plan()
    made.run()
    assert list(made.ends()) == [0]
    assert made.records("end")[-1]["reason"] == "case_timeout"


@pytest.mark.parametrize("where", ["hang", "long"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_both_children_end_with_the_worker(
    number: signal.Signals, where: str, tmp_path: Path
) -> None:
    """Neither child inherits the pipe by which the other one notices the worker's end."""
    made = UserSweep(tmp_path, derived("a", where))
    made.plan()
    with made.start() as worker:
        try:
            wait_until(lambda: where in made.said("made"), 30, "the second case")
            if where == "long":
                wait_until(lambda: len(made.records("begin")) == 2, 30, "its begin")
            children = made.pids("made") | {end["metrics"]["pid"] for end in made.ends().values()}
            assert len(children) >= 2
            worker.send_signal(number)
            worker.wait(30)
            for pid in children:
                wait_until(lambda pid=pid: not alive(pid), 60, f"the end of {pid}")  # type: ignore[misc]
        finally:
            worker.kill()
            (tmp_path / "armed").unlink()
    assert worker.returncode == (75 if number == signal.SIGTERM else -number)
    assert [record for record in made.records("end") if "index" not in record] == []


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_failed_setup_of_cases_that_cannot_be_made(tmp_path: Path) -> None:
    made = UserSweep(tmp_path, derived("a", "raise"))
    made.plan()
    made.run(0, "--setup-failed", "manifest.yaml:7", "3", code=3)
    (end,) = made.ends().values()
    assert (end["index"], end["reason"]) == (0, "setup")
    chunk = made.records("end")[-1]
    assert (chunk["status"], chunk["reason"]) == ("failed", "setup")


def test_a_custom_source_has_its_count_from_the_manifest(tmp_path: Path) -> None:
    """The worker checks the plan without making the source."""
    made = UserSweep(tmp_path, KINDS["custom"])
    made.plan()
    made.module.write_text("")
    made.run()
    assert made.records("end")[-1]["status"] == "failed"
