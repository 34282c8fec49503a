"""The batch script of a submission, from the template that a site may override."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2

from hpcsweep.cluster.timelimit import time_limit_seconds, warning_seconds
from hpcsweep.errors import InputError
from hpcsweep.manifest.frozen import OPTION_NAME, OPTION_VALUE, SetupLine

TEMPLATE = "array.sbatch.j2"
# Values that stand in a directive as they are; sbatch takes all others in double quotes.
_PLAIN = re.compile(r"[A-Za-z0-9_.,:=@%+/\[\]-]*")
# A backslash in `--output` switches its patterns off (22.05), so all tasks would write one file.
_NO_PATH = re.compile(r"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """What the template is given."""

    sweep_name: str
    # sbatch's long options of the manifest.
    options: Mapping[str, str]
    setup: tuple[SetupLine, ...]
    # Absolute path of the interpreter that has hpcsweep.
    python: str
    sweep_dir: str
    submission: int

    def render(self) -> str:
        """The script's text.

        *Raises* InputError for a directive that is not one line of words, and for a path that
        Slurm would not understand.
        """
        if _NO_PATH.search(self.sweep_dir):
            raise InputError(
                f"{self.sweep_dir!r} has a backslash or a control character",
                next_step="Choose another --outputs directory.",
            )
        limit = self.options.get("time")
        return (
            _environment()
            .get_template(TEMPLATE)
            .render(
                sweep_name=self.sweep_name,
                options=dict(sorted(self.options.items())),
                setup=self.setup,
                python=self.python,
                sweep_dir=self.sweep_dir,
                submission=self.submission,
                warning_seconds=warning_seconds(time_limit_seconds(limit) if limit else None),
            )
        )


def setup_script(setup: Iterable[SetupLine], failed: str) -> str:
    """The setup lines as the batch script has them; `failed` is done when one has failed.

    That has $hpcsweep_line, $hpcsweep_exit and $hpcsweep_place, see `setup.sh.j2`.
    """
    text: str = _environment().get_template("setup.sh.j2").module.guarded(setup, failed)  # type: ignore[attr-defined]
    return text


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template_directory()),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # shell text, quoted by the filter below
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"shell": shlex.quote, "directive": directive}
    environment.filters |= {"hides": hides, "evals": evals}
    return environment


def hides(line: str) -> bool:
    """Whether a line succeeds whatever its only substitution does: `export X=$(…)`, `eval $(…)`."""
    declares = re.match(r"\s*((export|declare|typeset|readonly)\s[^#$`]*=|eval\s)", line)
    anyhow = re.search(r'[)`]"?\s*\|\|', line)
    return bool(declares) and not anyhow and _substitutions(line) == 1


def evals(line: str) -> bool:
    """Whether a line does nothing but evaluate what a substitution gives."""
    return bool(re.fullmatch(r'\s*eval\s+"?(\$\(.*\)|`.*`)"?\s*', line))


def _substitutions(line: str) -> int:
    """Count of command substitutions that are in no other."""
    depth, count = 0, line.count("`") // 2
    for piece in re.findall(r"\$\(|[()]", line):
        count += piece == "$(" and not depth
        depth += -1 if piece == ")" else 1
    return count


def directive(option: str, value: str) -> str:
    """`--option=value` as a line of `#SBATCH` has it; "" is an option without a value.

    In double quotes sbatch (22.05) takes everything but a backslash and the quote, each behind a
    backslash, as it is: blanks, `#`, `'`, `$`. In single quotes it sees backslashes, unlike bash.
    *Raises* InputError for what would begin another line.
    """
    if not OPTION_NAME.fullmatch(option) or (value and not OPTION_VALUE.fullmatch(value)):
        raise InputError(f"slurm: {option}: {value!r} cannot be written as a directive")
    if not _PLAIN.fullmatch(value):
        value = '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    return f"--{option}={value}" if value else f"--{option}"


def template_directory() -> Path:
    """Where the templates lie: in the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "slurm_templates"
    return installed if installed.is_dir() else package.parent / "slurm_templates"
