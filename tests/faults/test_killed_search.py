"""A search whose driver, closing jobs and workers are killed asks what an undisturbed one asks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna

from hpcsweep.journal import all_journals, read
from hpcsweep.manifest.policies import Policies
from hpcsweep.search.study import ToldTrial, ask
from hpcsweep.search.versions import trial_params
from hpcsweep.sweepdir.directory import SweepDirectory
from tests.faults.killing import Point, kill_at, struck
from tests.support.clusters import EmulatedCluster
from tests.support.emulated import LONG_S
from tests.support.fixtures import Scale
from tests.support.project import CLI_S, Project
from tests.support.wait import wait_until

ADVANCE, WORKER = "*hpcsweep advance *", "*-m hpcsweep.worker *"
TARGET = """\
def run(x, y, kind):
    return {"energy": (x - 2.0) ** 2 + 10 * (y - x * x / 4) ** 2 + (kind != "b")}
"""
SPACE = {
    "x": {"type": "Uniform", "low": -5, "high": 5},
    "y": {"type": "Uniform", "low": -5, "high": 5},
    "kind": {"type": "Choice", "options": ["a", "b", "c"]},
}
# Closing jobs before the new version of the manifest, between the version and its submission, and
# between sbatch and the job id; and a worker between two outcomes. Each strikes once.
POINTS = [
    Point(event="os.rename", matching="* */manifests/*", program=ADVANCE),
    Point(event="os.rename", matching="* */submissions/*", program=ADVANCE),
    Point(event="os.link", matching="*/part-*.job.json", program=ADVANCE),
    Point(event="os.rename", matching="* */runs/log_*", program=WORKER, nth=2),
]


# A step takes the loss of its epoch, notes that it was made, and saves it.
TRAINING = """\
from pathlib import Path


def loss(x, y, epochs):
    return (x - 2.0) ** 2 + (y + 1.0) ** 2 + 10.0 * abs(x * y) / epochs


def run(x, y, epochs, checkpoint, log):
    state = checkpoint.load() or {"epoch": 0, "loss": None}
    log.metric("first", state["epoch"])
    while state["epoch"] < epochs:
        epoch = state["epoch"] + 1
        with (Path(__file__).parent / "steps").open("a") as stream:
            stream.write(f"{x!r} {y!r} {epoch}\\n")
        state = {"epoch": epoch, "loss": loss(x, y, epoch)}
        checkpoint.save(state)
    return {"loss": state["loss"]}
"""
HALVING = {"resource": "epochs", "min": 1, "max": 9, "factor": 3}
# A worker that copies the checkpoint of a predecessor, before the copy has its name; one that
# publishes a promoted case; and a closing job behind the new version of the manifest.
HALVING_POINTS = [
    Point(event="os.rename", matching="*/checkpoints/.*.* *", program=WORKER),
    Point(event="os.rename", matching="* */runs/log_*epochs=3*", program=WORKER, nth=2),
    Point(event="os.rename", matching="* */submissions/*", program=ADVANCE),
]


def energy(params: dict[str, Any]) -> float:
    scope: dict[str, Any] = {}
    exec(TARGET, scope)  # noqa: S102  # the target of the sweep, as it stands there
    return float(scope["run"](**params)["energy"])


def loss(params: dict[str, Any]) -> float:
    scope: dict[str, Any] = {}
    exec(TRAINING, scope)  # noqa: S102  # as above
    return float(scope["loss"](**params))


def undisturbed(
    sweep: SweepDirectory, value_of: Callable[[dict[str, Any]], float] = energy
) -> list[dict[str, Any]]:
    """The params of all trials, asked in memory without a sweep."""
    manifest = sweep.newest().manifest
    search = Policies.from_json(manifest.policies).search
    assert search is not None
    told: list[ToldTrial] = []
    while len(told) < search.n:
        asked = ask(search, manifest, told, min(search.batch, search.n - len(told)))
        told += [ToldTrial(params=params, value=value_of(params)) for params in asked]
    return [dict(trial.params) for trial in told]


def completions(sweep: SweepDirectory) -> Counter[str]:
    """How often each case completed, by the journals."""
    return Counter(
        record["case_id"]
        for name in all_journals(sweep.journal_root)
        for reading in read(sweep.journal_root / name)
        for record in reading.records
        if record["kind"] == "end" and record.get("status") == "complete" and "index" in record
    )


def kill_driver(project: Project, submissions: int, **more: str) -> None:
    """Submit and wait, until there are so many submissions; then kill that driver."""
    driver = project.start("submit", "manifest.json", "--wait", **more)
    try:
        wait_until(
            lambda: (
                len(SweepDirectory.open(project.sweep).submissions()) >= submissions
                or driver.poll() is not None
            ),
            CLI_S,
            f"{submissions} submissions",
        )
    finally:
        driver.kill()
        driver.communicate()


def wait_struck(marks: Path, count: int) -> None:
    wait_until(lambda: len(seen := struck(marks)) >= count or str(seen), CLI_S, f"{count} kills")


def test_it_asks_what_an_undisturbed_one_asks(
    emulated: EmulatedCluster, tmp_path: Path, scale: Scale
) -> None:
    trials = scale(40, 300)
    points = POINTS[: scale(1, len(POINTS))]
    project = Project(
        emulated,
        tmp_path / "project",
        0,
        target=TARGET,
        source={"space": SPACE},
        search={"objective": "energy", "n": trials, "batch": scale(20, 10)},
        chunk=5,
        retry=3,
    )
    marks = tmp_path / "marks"
    more = kill_at(points, marks)
    project.submit(code=0, **more)
    wait_struck(marks, 1)
    kill_driver(project, 2, **more)
    for count in range(2, len(points) + 1):
        # Where a closing job was killed nobody goes on; this one may be killed, too.
        project.cli("advance", project.name, code=None, **more)
        wait_struck(marks, count)
    if trials == 300:
        kill_driver(project, 12, **more)
    last = project.start("submit", "manifest.json", "--wait", **more)
    said = last.communicate(timeout=LONG_S)
    assert last.returncode == 0, "".join(said)

    seen = project.status()
    assert len(struck(marks)) == len(points)
    assert (seen["search"]["over"], seen["search"]["valued"]) == (trials, trials)
    assert seen["complete"] is True
    sweep = SweepDirectory.open(project.sweep)
    newest = sweep.newest()
    cases = trial_params(newest)
    assert json.dumps(cases) == json.dumps(undisturbed(sweep))  # so none was told twice
    assert len(cases) == len(project.rows()) == trials
    # A case completes once, if two trials are the same case too; but for what a killed worker did.
    assert set(completions(sweep)) == {case.case_id for case in newest.source}
    assert completions(sweep).total() - len(completions(sweep)) <= len(points)
    best = min(map(energy, cases))
    assert seen["search"]["best"] == best
    if trials == 300:
        assert best <= max(_best_in_memory(trials, seed) for seed in range(5))


def test_promoted_cases_go_on_where_their_predecessors_ended(
    emulated: EmulatedCluster, tmp_path: Path, scale: Scale
) -> None:
    """Successive halving: each epoch of each configuration is computed once, but for kills."""
    trials, space = 84, {name: SPACE[name] for name in ("x", "y")}
    points = HALVING_POINTS[: scale(1, len(HALVING_POINTS))]
    project = Project(
        emulated,
        tmp_path / "project",
        0,
        target=TRAINING,
        source={"space": space},
        search={"objective": "loss", "n": trials, "batch": 28, "halving": HALVING},
        chunk=7,
        isolation="task",
        retry=3,
    )
    marks = tmp_path / "marks"
    more = kill_at(points, marks)
    project.submit(code=0, **more)
    if len(points) == len(HALVING_POINTS):
        # Nobody goes on where its closing job was killed.
        wait_until((marks / "2").exists, CLI_S, "a closing job that is killed")
    last = project.start("submit", "manifest.json", "--wait", **more)
    said = last.communicate(timeout=LONG_S)
    assert last.returncode == 0, "".join(said)

    sweep = SweepDirectory.open(project.sweep)
    cases = trial_params(sweep.newest())
    assert json.dumps(cases) == json.dumps(undisturbed(sweep, loss))
    rungs = Counter(params["epochs"] for params in cases)
    assert rungs[1] >= 60
    assert set(rungs) == {1, 3, 9}
    rows = project.rows()
    assert [row["status"] for row in rows.values()] == ["complete"] * trials
    first = {index: json.loads(row["metrics"])["first"] for index, row in rows.items()}
    assert first == {index: params["epochs"] // 3 for index, params in enumerate(cases)}
    steps = Counter((project.root / "steps").read_text().splitlines())
    longest = {(params["x"], params["y"]): params["epochs"] for params in cases}
    made = {f"{x!r} {y!r} {step + 1}" for (x, y), most in longest.items() for step in range(most)}
    assert set(steps) == made
    assert steps.total() - len(steps) <= len(points)
    assert len(struck(marks)) == len(points)
    seen = project.status()["search"]
    best = min((params for params in cases if params["epochs"] == 9), key=loss)
    assert (seen["best"], cases[seen["best_case"]]) == (loss(best), best)
    assert seen["halving"]["from_start"] == 0
    assert [rung["asked"] for rung in seen["halving"]["rungs"]] == [rungs[1], rungs[3], rungs[9]]


def _best_in_memory(trials: int, seed: int) -> float:
    """What Optuna alone finds, one trial after another."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))

    def objective(trial: Any) -> float:
        x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", -5, 5)
        return energy({"x": x, "y": y, "kind": trial.suggest_categorical("kind", ["a", "b", "c"])})

    study.optimize(objective, n_trials=trials)
    return float(study.best_value)
