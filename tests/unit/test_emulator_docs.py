"""docs/reference/emulator.md says what the programs know: no more, no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpcsweep import emulator
from hpcsweep.emulator import names
from hpcsweep.emulator.daemon import changes
from hpcsweep.emulator.programs import (
    job_options,
    options,
    sacct,
    sacct_fields,
    sacctmgr,
    salloc,
    scancel,
    scontrol,
    scontrol_change,
    sdiag,
    sinfo,
    sinfo_fields,
    sprio,
    squeue,
    squeue_fields,
    squeue_names,
    sreport,
    srun,
    sshare,
    sstat,
)
from hpcsweep.emulator.versions import VERSIONS

TEXT = (Path(__file__).parents[2] / "docs/reference/emulator.md").read_text()
TABLES = {
    "sbatch": job_options.TABLE,
    "squeue": squeue.TABLE,
    "sacct": sacct.TABLE,
    "scancel": scancel.TABLE,
    "scontrol": scontrol.TABLE,
    "sinfo": sinfo.TABLE,
    "srun": srun.TABLE,
    "sacctmgr": sacctmgr.TABLE,
    "salloc": salloc.TABLE,
    "sdiag": sdiag.TABLE,
    "sprio": sprio.TABLE,
    "sreport": sreport.TABLE,
    "sshare": sshare.TABLE,
    "sstat": sstat.TABLE,
}


def section(program: str) -> str:
    """The part of the page on one program."""
    return TEXT.partition(f"\n## {program}\n")[2].partition("\n## ")[0].strip()


def listed(program: str, kind: str) -> str:
    """The paragraphs of that part that begin with `kind` or belong to it."""
    found = re.findall(rf"(?:^|\n\n|\. ){kind}: (.*?)(?:\n\n|\Z)", section(program), re.DOTALL)
    return " ".join(found)


@pytest.mark.parametrize("program", sorted(TABLES))
def test_options(program: str) -> None:
    table: dict[str, options.Option] = TABLES[program]
    known = {f"--{one.name}" for one in table.values() if one.is_emulated}
    paragraphs = (
        section(program).split("\n|")[0] if program == "sbatch" else listed(program, "Options")
    )
    named = set(re.findall(r"`(--[A-Za-z0-9_-]+)`", paragraphs))
    assert named == known


@pytest.mark.parametrize(
    ("program", "variables"),
    [
        ("sbatch", set(job_options.VARIABLES)),
        ("squeue", {*squeue.VARIABLES, "SLURM_BITSTR_LEN"}),
    ],
)
def test_variables(program: str, variables: set[str]) -> None:
    text = listed(program, "Variables").partition("(")[0]
    assert set(re.findall(r"`([A-Z_0-9]+)`", text)) == variables


def test_fields() -> None:
    of_squeue = {f"%{letter}" for letter in squeue_fields.FIELDS}
    named = listed("squeue", "Fields").partition(", with")[0]
    assert set(re.findall(r"`(%\w)`", named)) == of_squeue
    long_names = listed("squeue", "Fields").partition("colon:")[2].partition("States")[0]
    assert set(re.findall(r"`([a-z-_]+)`", long_names)) == {
        *squeue_names.LETTERS,
        *squeue_names.OTHERS,
    }
    of_sinfo = {f"%{letter}" for letter in sinfo_fields.FIELDS if letter}
    assert set(re.findall(r"`(%\w)`", section("sinfo"))) == of_sinfo
    for name, version in VERSIONS.items():
        assert f"{len(sacct_fields.fields(version))} of {name}" in listed("sacct", "Fields")


def test_fields_of_sacctmgr() -> None:
    named = re.findall(r"`([A-Za-z]+)`", listed("sacctmgr", "Fields"))
    assert {name.lower() for name in named} == set(sacctmgr.FIELDS)


def test_commands_and_knobs() -> None:
    for name in (*scontrol_change.CHANGES, "ping", "update jobid", "update nodename"):
        assert f"`{name}" in section("scontrol")
    assert set(changes.CHANGES) == {*scontrol_change.CHANGES.values(), "throttle", "update"}
    for name in emulator.EmulatorConfig().to_json():
        assert f"`{name}`" in TEXT


def test_every_file_is_on_the_page() -> None:
    directory = Path(emulator.__file__).parent
    table = TEXT.partition("| in `hpcsweep/emulator/`")[2].partition("\n\n")[0]
    rows = {row.split("`")[1]: row for row in table.splitlines() if "`" in row}
    for path in directory.rglob("*.py"):
        if path.stem not in ("__init__", *names.PROGRAMS):
            folder = path.parent.name if path.parent != directory else "."
            assert f"`{path.stem}`" in rows[folder]
