"""Programs and commands on the pages of the documentation that have no test of their own."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpcsweep as hs
from hpcsweep.manifest.user import load_manifest
from tests.support.clusters import INGEST_LATER, EmulatedCluster, emulated
from tests.support.command_lines import typed_lines
from tests.support.console_blocks import blocks
from tests.support.figures import call

__all__ = ["emulated"]

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PROGRAM_S = 120
STEPS = 3


def programs(page: str, language: str = "python") -> list[str]:
    """The programs of a page, in their order."""
    return [content for found, content in blocks((DOCS / page).read_text()) if found == language]


def names_of(code: str, **given: Any) -> dict[str, Any]:
    """The names that a program of a page makes, beside those that the page leaves to the reader."""
    names = dict(given)
    exec(compile(code, "page", "exec"), names)  # noqa: S102  # our own page
    return names


def run(code: str, env: dict[str, str]) -> str:
    """What a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=PROGRAM_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_script_decides_by_the_class_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = programs("reference/errors.md")
    names_of(program)
    assert "no-such-file.yaml" in capsys.readouterr().out


def test_logbook_and_its_reader(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writes, reads, _, experiment = programs("reference/logbook.md")
    names_of(writes)
    (shown, _) = programs("reference/logbook.md", "text")
    directory, _, files = shown.partition("/\n")
    found = {path.relative_to(directory) for path in Path(directory).rglob("*") if path.is_file()}
    assert {Path(name) for name in files.split()} == found
    names_of(reads)
    assert capsys.readouterr().out == "complete 1.0 0.5 [1.  0.5]\n"
    for _ in range(2):  # the second time every run is there
        table = names_of(experiment)["df"]
        assert list(table["energy"]) == [0.5, 2.0]
    ids = {path.name.removeprefix("log_") for path in place.glob("**/log_oscillator*")}
    assert "oscillator_dt_0.001_omega_1" in ids


@pytest.mark.parametrize("page", ["reference/logbook.md", "how-to/preemption.md"])
def test_a_function_with_a_checkpoint_goes_on(page: str) -> None:
    (program,) = (code for code in programs(page) if code.startswith("def simulate"))
    began = []

    def advance(state: dict[str, Any]) -> dict[str, Any]:
        began.append(state["step"])
        return {"step": state["step"] + 1, "x": state["x"] * 2}

    simulate = names_of(program, advance=advance)["simulate"]
    for steps in (1, STEPS):
        log = hs.Logbook("swing", overwrite=True)
        assert simulate(steps, 1.0, log.checkpoint) == {"x": 2.0**steps}
    assert began == list(range(STEPS))


def test_training_goes_on_at_the_last_epoch() -> None:
    (program,) = programs("how-to/training.md")
    epochs = itertools.count(98)

    def one_epoch(*_: object) -> dict[str, Any]:
        return {"epoch": next(epochs) + 1, "weights": np.zeros(3), "loss": 0.25}

    with hs.Logbook("training") as log:
        log.checkpoint.save({"epoch": 98, "weights": None})
        metrics = names_of(program, one_epoch=one_epoch)["train"](1e-3, 0.9, log.checkpoint, log)
    assert metrics == {"loss": 0.25}
    assert next(epochs) == 100


def test_the_cache_finds_what_it_computed(place: Path) -> None:
    (program,) = programs("how-to/cache.md")
    again = "print(record.id, data[-1]); assert store.retrieve({'n': 100, 'dt': 0.01})"
    first = run(f"{program}\n{again}", dict(os.environ))
    second = run(f"{program}\n{again}", dict(os.environ))
    assert first == second
    case_id, last = first.split()
    assert float(last) == pytest.approx(1.0)
    assert (place / f"results/{case_id}.npy").exists()
    assert (place / f"results/.journal/{case_id[:2]}/{case_id}.json").exists()


def test_the_emulated_slurm_in_python(place: Path) -> None:
    (program,) = programs("reference/emulator.md")
    end = (
        "import json, subprocess, os\n"
        "version = subprocess.check_output(['sinfo', '--version'], env=os.environ | changes)\n"
        "emulator.stop(emulator.default_state_dir())\n"
        "print(json.dumps([sorted(changes), version.decode()]))"
    )
    printed = run(f"{program}\n{end}", os.environ | {"XDG_STATE_HOME": str(place / "state")})
    assert json.loads(printed) == [["PATH", "SLURM_CONF"], "slurm-wlm 22.05.8\n"]


@pytest.mark.parametrize("module", ["submitit", "hpcsweep.executor.submitit"])
def test_a_program_for_submitit_runs_with_either(
    module: str, emulated: EmulatedCluster, place: Path
) -> None:
    program = programs("coming-from/index.md")[0]
    (place / "model.py").write_text("def simulate(omega):\n    return omega**2\n")
    start = f"import {module} as submitit\nfrom model import simulate\nomegas = [1.0, 2.0, 3.0]\n"
    printed = run(f"{start}{program}print(results)", emulated.env(**INGEST_LATER))
    assert printed.splitlines()[-1] == "[1.0, 4.0, 9.0]"


def test_programs_for_notata_and_entropic() -> None:
    _, notata, entropic = programs("coming-from/index.md")
    names_of(notata)
    assert hs.LogReader("outputs/log_omega1.0_dt0.01").load_json("final_state") == {"x": 0.5}
    assert names_of(entropic)["Store"] is hs.Store


def test_imports_from_other_tools_are_manifests(place: Path) -> None:
    shutil.copy(REPOSITORY / "tests/data/foreign/wandb_grid.yaml", place / "sweep.yaml")
    (place / "train.py").touch()
    lines = [
        line
        for line in typed_lines((DOCS / "coming-from/index.md").read_text())
        if line.startswith("hpcsweep import")
    ]
    assert len(lines) == 2
    for line in lines:
        call(line)
        assert " cases, target " in call("hpcsweep validate manifest.yaml")
        (place / "manifest.yaml").unlink()


def test_the_manifest_runs_what_gnu_parallel_runs(place: Path) -> None:
    if shutil.which("parallel") is None:
        pytest.skip("there is no GNU parallel")
    page = (DOCS / "coming-from/index.md").read_text()
    (line,) = [one for one in typed_lines(page) if one.startswith("parallel")]
    (place / "sim").write_text('#!/bin/sh\necho "$@"\n')
    (place / "sim").chmod(0o755)
    env = os.environ | {"HOME": str(place)}
    argv = ["parallel", "--will-cite", *shlex.split(line)[1:]]
    printed = subprocess.check_output(argv, env=env, text=True).splitlines()
    (manifest,) = [text for text in programs("coming-from/index.md", "yaml") if "./sim" in text]
    (place / "manifest.yaml").write_text(manifest)
    described, source = load_manifest(place / "manifest.yaml")
    words = described.target.argv[1:]
    calls = [" ".join(word.format(**case.params) for word in words) for case in source]
    assert sorted(calls) == sorted(printed)


def test_a_profile_puts_sweeps_on_scratch(
    emulated: EmulatedCluster, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = programs("how-to/disks.md", "yaml")[0]
    (line,) = typed_lines((DOCS / "how-to/disks.md").read_text())
    (place / "config/hpcsweep").mkdir(parents=True)
    config = profile.replace("/scratch/me", str(place / "scratch"))
    (place / "config/hpcsweep/config.yaml").write_text(config)
    (place / "model.py").write_text("def run(x):\n    return {'y': x}\n")
    (place / "manifest.yaml").write_text(
        "name: small\ntarget: model.py:run\nsource: {grid: {x: [1, 2]}}\n"
    )
    for name, value in emulated.env(**INGEST_LATER).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "config"))
    assert "2 complete of 2" in call(f"{line} --wait")
    assert (place / "scratch/sweeps/small/sweep.json").exists()


def test_a_sampler_of_ones_own() -> None:
    (sampler,) = (code for code in programs("how-to/search.md") if "# mine.py" in code)
    assert isinstance(names_of(sampler)["make"](3), import_module("optuna").samplers.TPESampler)


def test_r_reads_the_table(place: Path) -> None:
    if shutil.which("Rscript") is None:
        pytest.skip("there is no R")
    (program,) = programs("how-to/read-results.md", "r")
    rows = ("index,status,omega,period", "0,complete,1,6.5", "1,complete,2,nan", "2,failed,2,")
    (place / "swing.csv").write_text("\n".join(rows) + "\n")
    printed = subprocess.check_output(["Rscript", "-e", program], text=True)
    assert printed.split() == ["omega", "period", "1", "1", "6.5"]
