"""docs/emulator.md says what the programs know: no more, no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpcsweep import emulator
from hpcsweep.emulator import (
    commands,
    options,
    sacct_cli,
    sacct_fields,
    sacctmgr_cli,
    salloc_cli,
    sbatch_options,
    scancel_cli,
    scontrol_cli,
    sdiag_cli,
    sinfo_cli,
    sprio_cli,
    squeue_cli,
    squeue_fields,
    squeue_names,
    sreport_cli,
    srun_cli,
    sshare_cli,
    sstat_cli,
)

TEXT = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()
TABLES = {
    "sbatch": sbatch_options.TABLE,
    "squeue": squeue_cli.TABLE,
    "sacct": sacct_cli.TABLE,
    "scancel": scancel_cli.TABLE,
    "scontrol": scontrol_cli.TABLE,
    "sinfo": sinfo_cli.TABLE,
    "srun": srun_cli.TABLE,
    "sacctmgr": sacctmgr_cli.TABLE,
    "salloc": salloc_cli.TABLE,
    "sdiag": sdiag_cli.TABLE,
    "sprio": sprio_cli.TABLE,
    "sreport": sreport_cli.TABLE,
    "sshare": sshare_cli.TABLE,
    "sstat": sstat_cli.TABLE,
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
        ("sbatch", set(sbatch_options.VARIABLES)),
        ("squeue", {*squeue_cli.VARIABLES, "SLURM_BITSTR_LEN"}),
    ],
)
def test_variables(program: str, variables: set[str]) -> None:
    text = listed(program, "Variables").partition("(")[0]
    assert set(re.findall(r"`([A-Z_0-9]+)`", text)) == variables


def test_fields() -> None:
    squeue = {f"%{letter}" for letter in squeue_fields.FIELDS}
    named = listed("squeue", "Fields").partition(", with")[0]
    assert set(re.findall(r"`(%\w)`", named)) == squeue
    names = listed("squeue", "Fields").partition("colon:")[2].partition("States")[0]
    assert set(re.findall(r"`([a-z-_]+)`", names)) == {
        *squeue_names.LETTERS, *squeue_names.OTHERS
    }  # fmt: skip
    sinfo = {f"%{letter}" for letter in sinfo_cli.FIELDS if letter}
    assert set(re.findall(r"`(%\w)`", section("sinfo"))) == sinfo
    assert f"all {len(sacct_fields.KNOWN)} of" in listed("sacct", "Fields")


def test_fields_of_sacctmgr() -> None:
    named = re.findall(r"`([A-Za-z]+)`", listed("sacctmgr", "Fields"))
    assert {name.lower() for name in named} == set(sacctmgr_cli.FIELDS)


def test_commands_and_knobs() -> None:
    for name in (*scontrol_cli.CHANGES, "requeue", "ping", "update jobid", "update nodename"):
        assert f"`{name}" in section("scontrol")
    updates = {"requeue", "requeuehold", "throttle", "update", "suspend", "resume", "top"}
    assert set(commands.CHANGES) == {*scontrol_cli.CHANGES.values(), *updates}
    for name in emulator.EmulatorConfig().to_json():
        assert f"`{name}`" in TEXT


def test_every_file_is_on_the_page() -> None:
    directory = Path(emulator.__file__).parent
    table = TEXT.partition("| file of")[2].partition("\n\n")[0]
    for path in directory.glob("*.py"):
        name = path.stem
        if name not in ("__init__", "names", "refusal"):
            assert f"`{name}`" in table or name.endswith("_cli")
