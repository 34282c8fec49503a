"""Programs of the package index on the emulated Slurm, unchanged. `make clients` runs this tier."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hpcsweep import emulator
from tests.support import contract, idioms
from tests.support.emulated import Emulated
from tests.support.fixtures import require_slurm
from tests.support.slurm_cluster import PrivateSlurm

PROGRAMS = Path(__file__).with_name("programs")
# Made by `make clients`.
PYTHON = Path(__file__).parents[2] / ".venv-clients" / "bin" / "python"
# What is imported from each package, by the program that uses it.
MODULES = {
    "dask": "dask_jobqueue",
    "executorlib": "executorlib",
    "hydra": "hydra_plugins.hydra_submitit_launcher",
    "parsl": "parsl",
    "psij": "psij",
    "reportseff": "reportseff",
    "simple_slurm": "simple_slurm",
    "snakemake": "snakemake_executor_plugin_slurm",
    "submitit": "submitit",
}
# Those that a real Slurm is asked to run as well: quick ones.
ON_BOTH = ("psij", "simple_slurm", "submitit")
# submitit's own tests that a real Slurm fails, too: they expect ids of its mock, and GPUs.
SUBMITIT_FAILS = {
    "test_mocked_missing_state",
    "test_slurm_job_array_mocked[False]",
    "test_slurm_job_array_mocked[True]",
    "test_slurm_job_mocked",
    "test_slurm_through_auto[params0]",
    "test_slurm_through_auto[params1]",
    "test_slurm_through_auto_with_setup_and_teardown",
    "test_watcher",
}
# Expects that a job has written nothing a few calls after its sbatch: on a loaded machine no Slurm,
# the real one included, is always that slow.
SUBMITIT_RACES = {"test_slurm_job_no_stderr"}
# Makes submitit's tests of Slurm, which mock it, use the one that is there.
UNMOCKED = """
import contextlib
import pytest
from submitit.core import test_core

@pytest.fixture(autouse=True)
def slurm_itself(monkeypatch):
    monkeypatch.setattr(test_core.MockedSubprocess, "context", contextlib.nullcontext)
"""


def test_every_program_is_run() -> None:
    assert {path.stem for path in PROGRAMS.glob("*.py")} == {f"use_{name}" for name in MODULES}


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[Emulated]:
    # As users have it: they rely on a start that is no quicker than a real one.
    usual = emulator.EmulatorConfig(account="root", accounts=("root",)).to_json()
    kept = ("start_delay_s", "requeue_delay_s", "account", "accounts")
    with Emulated(tmp_path / "c", **{name: usual[name] for name in kept}) as cluster:
        yield cluster


def require(module: str) -> None:
    """Skip where a package is missing."""
    if not PYTHON.exists():
        pytest.skip("the clients are not installed: make clients")
    argv = [PYTHON, "-c", f"import {module}"]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip(f"{module} cannot be imported from {PYTHON}")


def run(environment: Mapping[str, str], place: Path, *argv: str) -> str:
    """What a client's program prints."""
    path = os.pathsep.join([environment["PATH"], str(PYTHON.parent)])
    done = subprocess.run(
        [str(PYTHON), *argv],
        cwd=place,
        env={**environment, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=280,
        check=False,
    )
    assert done.returncode == 0 or "-m" in argv, done.stdout[-4000:]
    return done.stdout


@pytest.mark.parametrize("name", sorted(MODULES))
def test_on_the_emulated_one(emulated: Emulated, name: str) -> None:
    require(MODULES[name])
    run(emulated.env(), emulated.work, str(PROGRAMS / f"use_{name}.py"))


@pytest.fixture(scope="module")
def real() -> Iterator[PrivateSlurm]:
    require_slurm()
    with PrivateSlurm(contract.REAL) as cluster:
        yield cluster


@pytest.mark.slurm
@pytest.mark.parametrize("name", ON_BOTH)
def test_on_a_real_one(real: PrivateSlurm, tmp_path: Path, name: str) -> None:
    require(MODULES[name])
    run(real.env(), tmp_path, str(PROGRAMS / f"use_{name}.py"))


def submitit_failures(environment: Mapping[str, str], place: Path) -> set[str]:
    """Which of submitit's own tests of Slurm fail."""
    (place / "unmocked.py").write_text(UNMOCKED)
    argv = ["-m", "pytest", "-q", "-rfE", "-p", "unmocked", "-p", "no:cacheprovider"]
    argv += ["--pyargs", "submitit.slurm.test_slurm", "--rootdir", str(place)]
    text = run({**environment, "PYTHONPATH": str(place)}, place, *argv)
    lines = [line for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert " passed" in text, text[-4000:]
    return {line.split("::")[1].split(" ")[0] for line in lines} - SUBMITIT_RACES


def test_submitits_own_tests(emulated: Emulated) -> None:
    require("submitit")
    assert submitit_failures(emulated.env(), emulated.work) == SUBMITIT_FAILS


@pytest.mark.slurm
def test_submitits_own_tests_on_a_real_one(real: PrivateSlurm, tmp_path: Path) -> None:
    require("submitit")
    assert submitit_failures(real.env(), tmp_path) == SUBMITIT_FAILS


@pytest.mark.slurm
def test_idioms_of_centres(tmp_path_factory: pytest.TempPathFactory) -> None:
    require_slurm()
    found = idioms.verdicts(tmp_path_factory.mktemp("idioms"))
    text = idioms.table(found, verbose=True)
    sys.stdout.write(text + "\n")
    answers = [verdict for verdict, _, _ in found.values()]
    assert answers.count(idioms.AS_REAL) >= 128, text
