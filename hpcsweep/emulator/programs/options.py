"""Parse command lines like getopt_long(3), with its messages; --help; refusals."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hpcsweep.emulator import config
from hpcsweep.emulator.versions import SlurmVersion


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option of a program."""

    name: str
    short: str = ""
    # "": no value, ":": a value, "::": a value only as --name=value or -xvalue.
    value: str = ""
    # The option of which it is an alias.
    means: str = ""
    is_emulated: bool = True


def table(text: str) -> dict[str, Option]:
    """Options from words `name,short:` or `name>meaning,short:`.

    `!` marks those that the emulator refuses by name. The order matters: getopt lists the
    possibilities of an ambiguous option in it.
    """
    options = {}
    for word in text.split():
        bare = word.removeprefix("!")
        names, _, short = bare.rstrip(":").partition(",")
        name, _, means = names.partition(">")
        options[name] = Option(
            name=name,
            short=short,
            means=means or name,
            value=bare[len(bare.rstrip(":")) :],
            is_emulated=bare == word,
        )
    return options


class Getopt:
    """Parses the command line of one program."""

    def __init__(
        self, program: str, options: dict[str, Option], *, exit_code: int = 1, hint: bool = True
    ) -> None:
        """`hint`: whether an error is followed by the line that names --help."""
        self.program = program
        self._options = options
        self._short = {option.short: option for option in options.values() if option.short}
        self._exit_code = exit_code
        self._hint = hint

    def fail(self, message: str) -> NoReturn:
        """Print the message of getopt and the hint, and exit."""
        to_stderr(f"{self.program}: {message}")
        if self._hint:
            to_stderr(f'Try "{self.program} --help" for more information')
        raise SystemExit(self._exit_code)

    def read(
        self, argv: list[str], *, operands_last: bool = False
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """Options in order (those without a value have ""), and the operands.

        `operands_last`: the first operand ends the options, as in sbatch.
        """
        pairs: list[tuple[str, str]] = []
        operands: list[str] = []
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if word == "--":
                return pairs, [*operands, *rest]
            if word.startswith("--"):
                pairs.append(self._long(word[2:], rest))
            elif word.startswith("-") and word != "-":
                self._shorts(word[1:], rest, pairs)
            elif operands_last:
                return pairs, [word, *rest]
            else:
                operands.append(word)
        return pairs, operands

    def _long(self, word: str, rest: list[str]) -> tuple[str, str]:
        name, equals, value = word.partition("=")
        option = self._options.get(name) or self._abbreviated(name)
        if equals and not option.value:
            self.fail(f"option '--{option.name}' doesn't allow an argument")
        if option.value == ":" and not equals:
            if not rest:
                self.fail(f"option '--{option.name}' requires an argument")
            value = rest.pop(0)
        return self._emulated(option, value)

    def _abbreviated(self, name: str) -> Option:
        fitting = [option for option in self._options.values() if option.name.startswith(name)]
        if not fitting:
            self.fail(f"unrecognized option '--{name}'")
        if len(fitting) > 1:
            possible = " ".join(f"'--{option.name}'" for option in fitting)
            self.fail(f"option '--{name}' is ambiguous; possibilities: {possible}")
        return fitting[0]

    def _shorts(self, letters: str, rest: list[str], pairs: list[tuple[str, str]]) -> None:
        while letters:
            letter, letters = letters[0], letters[1:]
            option = self._short.get(letter)
            if option is None:
                self.fail(f"invalid option -- '{letter}'")
            if not option.value:
                pairs.append(self._emulated(option, ""))
                continue
            if option.value == ":" and not letters:
                if not rest:
                    self.fail(f"option requires an argument -- '{letter}'")
                letters = rest.pop(0)
            pairs.append(self._emulated(option, letters))
            return

    def _emulated(self, option: Option, value: str) -> tuple[str, str]:
        if not option.is_emulated:
            refuse(self.program, f"option --{option.name}")
        return option.means, value


def program_name() -> str:
    """The name of this program: `program.py STATE_DIR NAME ARGUMENT...`."""
    return sys.argv[2]


@functools.cache
def version() -> SlurmVersion:
    """The Slurm that this cluster speaks."""
    return config.load(Path(sys.argv[1])).version


def warn(text: str) -> None:
    """Print `PROGRAM: Warning: TEXT`."""
    word = "warning" if version().since("24.11") else "Warning"
    to_stderr(f"{program_name()}: {word}: {text}")


def to_stderr(text: str) -> None:
    """Print one line on standard error."""
    print(text, file=sys.stderr)


def fail(program: str, text: str, code: int = 1) -> NoReturn:
    """Print `PROGRAM: error: TEXT` and exit."""
    print_error(program, text)
    raise SystemExit(code)


def print_error(program: str, text: str) -> None:
    """Print `PROGRAM: error: TEXT`."""
    to_stderr(f"{program}: error: {text}")


def refuse(program: str, what: str) -> NoReturn:
    """Refuse by name what real Slurm has and the emulator does not; and exit."""
    fail(program, f"hpcsweep emulator: {what} is not emulated")


def refuse_variables(program: str, *variables: str) -> None:
    """Refuse environment variables that the real program would obey."""
    for name in variables:
        if name in os.environ:
            refuse(program, f"variable {name}")


def print_help(program: str, operands: str, table: dict[str, Option]) -> int:
    """Print the output of --help: the usage, and each emulated option in its spellings."""
    print(f"Usage: {program} [OPTIONS...] {operands}".rstrip() + "\n")
    for option in table.values():
        if option.is_emulated:
            short = f"-{option.short}, " if option.short else "    "
            value = {"": "", ":": "=VALUE", "::": "[=VALUE]"}[option.value]
            print(f"  {short}--{option.name}{value}")
    print("\nAn emulated Slurm: what each option means is in sbatch(1) and its siblings, and")
    print("what is emulated of it in hpcsweep's documentation, docs/reference/emulator.md.")
    return 0


def print_usage(program: str, operands: str, table: dict[str, Option]) -> int:
    """Print the output of --usage."""
    names = " ".join(f"[--{option.name}]" for option in table.values() if option.is_emulated)
    print(f"Usage: {program} {names} {operands}".rstrip())
    return 0


def print_information(
    program: str, operands: str, table: dict[str, Option], given: Container[str]
) -> bool:
    """Handle --version, --help and --usage. Returns whether one was given."""
    if "version" in given:
        print_version()
    elif "help" in given:
        print_help(program, operands, table)
    elif "usage" in given:
        print_usage(program, operands, table)
    else:
        return False
    return True


def print_version() -> int:
    """Print the output of --version."""
    print(f"slurm-wlm {version().release}")
    return 0


# The names that Slurm knows.
_SIGNALS = (
    *("HUP", "INT", "QUIT", "ABRT", "KILL", "ALRM", "TERM", "USR1", "USR2"),
    *("URG", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "XCPU"),
)


def signal_number(text: str) -> int:
    """The signal of a name (with or without SIG) or a number; 0 if it is neither."""
    if text.isdigit():
        return int(text) if 0 < int(text) < 128 else 0
    name = text.upper().removeprefix("SIG")
    return int(signal.Signals[f"SIG{name}"]) if name in _SIGNALS else 0
