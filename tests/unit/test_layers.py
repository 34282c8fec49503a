"""The rooms of the house: imports point downwards, and a task starts light."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
HEAVY = {"click", "jinja2", "numpy", "pydantic", "rich", "sqlalchemy", "submitit", "yaml"}
# What only submissions need.
SUBMITTING = HEAVY - {"sqlalchemy", "yaml"}
# What a task has loaded before any user code.
LIGHT = ["hpcsweep", "hpcsweep.worker.task", "hpcsweep.target", "hpcsweep.manifest.frozen"]


def test_the_contracts_of_pyproject_are_kept() -> None:
    command = [str(Path(sysconfig.get_path("scripts")) / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_folder_of_the_package_is_seen_by_the_contracts() -> None:
    # One without __init__.py is no part of the import graph, so no contract would hold for it.
    folders = {path.parent for path in (REPOSITORY / "hpcsweep").rglob("*.py")}
    assert [str(one) for one in sorted(folders) if not (one / "__init__.py").exists()] == []


def test_no_package_is_left_out_of_the_contract_against_cycles() -> None:
    with (REPOSITORY / "pyproject.toml").open("rb") as stream:
        contracts = tomllib.load(stream)["tool"]["importlinter"]["contracts"]
    (held,) = (one for one in contracts if one["type"] == "acyclic_siblings")
    assert held["ancestors"] == ["hpcsweep"]
    assert held.keys().isdisjoint({"skip_descendants", "depth"})
    assert held["ignore_imports"] == ["hpcsweep.cache.* -> hpcsweep.sweep"]


@pytest.mark.parametrize(
    ("code", "has", "lacks"),
    [
        *((f"import {module}", module, HEAVY) for module in LIGHT),
        ("import hpcsweep.store.ingest", "sqlalchemy.dialects", {"sqlalchemy.dialects.postgresql"}),
        (
            "import hpcsweep; hpcsweep.Sweep",
            "hpcsweep.sweep.results",
            HEAVY - {"sqlalchemy", "yaml"},
        ),
        ("import hpcsweep.sweep, hpcsweep.tables.several", "hpcsweep.tables.collect", {"numpy"}),
    ],
)
def test_nothing_needless_is_loaded(code: str, has: str, lacks: set[str]) -> None:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert has in loaded
    assert loaded & lacks == set()


def test_the_collections_at_the_end_of_a_command_leave_its_modules_out() -> None:
    # `atexit` calls the last registered function first, so this one comes after the command's.
    script = """
import atexit, gc, sys
atexit.register(lambda: print(gc.get_freeze_count(), len(gc.get_objects())))
from hpcsweep.cli import main
main(["status", "--help"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    frozen, others = map(int, done.stdout.splitlines()[-1].split())
    assert frozen > 100 * others


def test_an_emulated_program_collects_nothing_and_loads_no_openssl(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    script = """
import atexit, gc, runpy, sys
atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 0, *sys.modules))
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""
    program = str(REPOSITORY / "hpcsweep/emulator/program.py")
    done = subprocess.run(
        [sys.executable, "-IS", "-c", script, program, str(tmp_path), "squeue", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    enabled, frozen, *loaded = done.stdout.splitlines()[-1].split()
    assert (enabled, frozen) == ("False", "True")
    assert "hpcsweep.emulator.faults.chance" in loaded
    assert "_hashlib" not in loaded
