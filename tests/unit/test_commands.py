"""The commands: one module each, found in one table, loaded when called."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hpcsweep.cli import commands, main
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
HEAVY = {"jinja2", "numpy", "pydantic", "rich", "sqlalchemy", "submitit", "yaml"}
# What each of them may load of hpcsweep: the group, its table, and the options of one command.
LIGHT = {
    "--version": ["--version"],
    "--help": ["--help"],
    "a command's help": ["submit", "--help"],
}


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_table_equals_the_answer_of_the_command(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=200) == commands.COMMANDS[name][1]


def test_a_command_is_one_module_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that CONTRIBUTING.md adds."""
    section = CONTRIBUTING.read_text().partition("## Add a command\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"   ```python\n(.*?)   ```", section, re.DOTALL)
    ((name, text),) = re.findall(r'`"(\w+)": \("\.\w+", "(.*)"\),`', section)
    (tmp_path / "new_command.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(commands.COMMANDS, name, ("new_command", text))
    made = MadeSweep(tmp_path, grid(x=[1, 2, 3]))
    made.plan()
    run = CliRunner().invoke
    assert run(main, [name, str(made.path)]).output == "3\n"
    assert re.search(rf"^  {name} +{re.escape(text)}$", run(main, ["--help"]).output, re.MULTILINE)
    assert text in run(main, [name, "--help"]).output


@pytest.mark.parametrize("arguments", LIGHT.values(), ids=LIGHT)
def test_help_loads_no_library(arguments: list[str]) -> None:
    assert loaded(arguments, {}) & HEAVY == set()


def complete(words: str, env: dict[str, str] | None = None) -> list[str]:
    """What bash would offer for the last of these words."""
    given = words.split(" ")
    asked = {"_HPCSWEEP_COMPLETE": "bash_complete", "COMP_WORDS": words}
    asked["COMP_CWORD"] = str(len(given) - 1)
    done = CliRunner().invoke(main, prog_name="hpcsweep", env=asked | (env or {}))
    return done.output.split()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two sweeps and a profile."""
    for name in ("alpha", "beta", "no sweep"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
    for name in ("alpha", "beta"):
        (tmp_path / "outputs" / name / "sweep.json").touch()
    (tmp_path / "elsewhere/gamma").mkdir(parents=True)
    (tmp_path / "elsewhere/gamma/sweep.json").touch()
    (tmp_path / "hpcsweep").mkdir()
    (tmp_path / "hpcsweep/config.yaml").write_text(
        "profiles:\n  night: {cluster: slurm}\n  outside: {host: far}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


COMPLETIONS = {
    "hpcsweep st": ["plain,status"],
    "hpcsweep --ve": ["plain,--version"],
    "hpcsweep submit --re": ["plain,--rerun", "plain,--replace"],
    "hpcsweep submit --rerun f": ["plain,failed"],
    "hpcsweep status ": ["plain,alpha", "plain,beta"],
    "hpcsweep status --outputs elsewhere ": ["plain,gamma"],
    "hpcsweep doctor b": ["plain,beta"],
    # A directory or a manifest means a sweep, too.
    "hpcsweep status ./m": ["file,./m"],
    "hpcsweep submit m": ["file,m"],
    "hpcsweep submit --cluster s": ["plain,slurm", "plain,submitit:local", "plain,submitit:slurm"],
    "hpcsweep collect --status complete,fa": ["plain,complete,failed"],
    "hpcsweep validate --profile ": ["plain,night", "plain,outside"],
    "hpcsweep --on ": ["plain,outside"],
    "hpcsweep --on outside ins": ["plain,install"],
    "hpcsweep ins": [],
    "hpcsweep completion z": ["plain,zsh"],
    "hpcsweep collect alpha --where om": [],
    "hpcsweep emulator sta": ["plain,start", "plain,status"],
    "hpcsweep emulator fault c": ["plain,controller_down", "plain,controller_slow", "plain,clear"],
}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("words", COMPLETIONS)
def test_a_shell_completes(words: str) -> None:
    assert complete(words) == COMPLETIONS[words]


def test_a_completion_prints_no_error_of_a_broken_configuration(project: Path) -> None:
    (project / "hpcsweep/config.yaml").write_text("profiles: [")
    assert complete("hpcsweep validate --profile ") == []
    assert complete("hpcsweep status a") == ["file,a"]


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a sweep `s` of which an index knows the metrics."""
    root = tmp_path_factory.mktemp("columns")
    made = MadeSweep(root, grid(omega=[1, 2], dt=[0.1]), python=ENERGY)
    made.plan()
    made.handed_in()
    made.run()
    assert CliRunner().invoke(main, ["ingest", str(made.path)]).exit_code == 0
    return root


ENERGY = "def run(omega, dt):\n    return {'energy': omega * dt, 'final': {'drift': 0.5}}\n"
COLUMN_COMPLETIONS = {
    "collect s --where ome": ["omega"],
    "collect s --where abs(ome": ["abs(omega"],
    "collect s --columns index,en": ["index,energy", "index,ended"],
    "collect s --sort final.": ["final.drift"],
    "collect s --pivot dt,ome": ["dt,omega"],
    "collect s --pivot dt,omega:fi": ["dt,omega:final.drift"],
    "plot s --x omega --y ener": ["energy"],
    "retry s --where wall": ["wall_seconds"],
    "compare s s --on d": ["dt"],
    "collect s --where st": ["status", "started", "stale"],
    "collect nothing --where ome": [],
    "collect --where ome": [],
}


@pytest.mark.parametrize("words", COLUMN_COMPLETIONS)
def test_a_shell_completes_columns(
    words: str, ingested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ingested)
    command, _, rest = words.partition(" ")
    found = complete(f"hpcsweep {command} --outputs . {rest}")
    assert found == [f"plain,{name}" for name in COLUMN_COMPLETIONS[words]]


def test_a_damaged_index_completes_params(
    ingested: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ingested, tmp_path, dirs_exist_ok=True)
    (tmp_path / "s/store.sqlite3").write_bytes(b"no database" * 100)
    monkeypatch.chdir(tmp_path)
    assert complete("hpcsweep collect --outputs . s --columns ome") == ["plain,omega"]
    assert complete("hpcsweep collect --outputs . s --columns ener") == []


def test_a_completion_of_columns_loads_no_library(ingested: Path) -> None:
    words = f"hpcsweep collect --outputs {ingested} s --where ome"
    asked = {"_HPCSWEEP_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "6"}
    assert loaded([], asked) & HEAVY == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert f"_HPCSWEEP_COMPLETE={shell}_complete" in done.output
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=done.output, text=True, check=True)


@pytest.mark.parametrize("words", ["hpcsweep st", "hpcsweep status ", "hpcsweep submit --re"])
def test_a_completion_loads_no_library(words: str, project: Path) -> None:
    (project / "hpcsweep/config.yaml").unlink()
    asked = {"_HPCSWEEP_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "2"}
    assert loaded([], asked) & HEAVY == set()


@pytest.mark.parametrize("name", commands.INSTEAD)
def test_an_unknown_command_suggests_the_right_one(name: str) -> None:
    done = CliRunner().invoke(main, [name])
    assert done.exit_code == 2
    assert f"No such command '{name}'. {commands.INSTEAD[name]}\n" in done.stderr


@pytest.mark.parametrize(
    ("name", "answer"),
    [("sbumit", " Did you mean submit?"), ("emulat", " Did you mean emulator?"), ("sweep", "")],
)
def test_only_a_typo_gets_a_suggestion(name: str, answer: str) -> None:
    assert f"No such command '{name}'.{answer}\n" in CliRunner().invoke(main, [name]).stderr


def loaded(arguments: list[str], env: dict[str, str]) -> set[str]:
    """The top-level modules that a call of the command line has loaded when it ends."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})),"
        " file=sys.stderr))\n"
        f"sys.argv = {['hpcsweep', *arguments]}\n"
        "from hpcsweep.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return set(found)


def test_a_column_of_a_plot_is_named_by_its_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan()
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["plot", "s", "--x", "x", "--y", "q", "--outputs", "."])
    assert done.exit_code == 3
    assert "hpcsweep: --x, --y, --by: 'q' is not a column\n" in done.stderr
