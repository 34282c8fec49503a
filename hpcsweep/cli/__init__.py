"""The command line: parse, call one verb, print, exit code."""

# ruff: noqa: E402  # the first import of a library may fail, and what that means is told
from hpcsweep import program

program.begin()

from hpcsweep.cli.checking import doctor_command, schema_command
from hpcsweep.cli.emulating import emulator_group
from hpcsweep.cli.main import main
from hpcsweep.cli.submitting import plan_command, retry_command, submit_command

for command in (doctor_command, emulator_group, plan_command, retry_command, schema_command,
                submit_command):  # fmt: skip
    main.add_command(command)

__all__ = ["main"]
