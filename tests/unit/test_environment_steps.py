"""The steps of `modules`, `conda`, `python` and `container`, behind the trap of setup lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep.manifest.frozen import SetupLine, TaskInterpreter
from hpcsweep.worker.interpreter import Interpreter
from hpcsweep.worker.launcher import Launcher

FAILED = 'printf "%s\\n" failed "$hpcsweep_line" "$hpcsweep_exit"; builtin exit 0'
# What init files of the three kinds of modules define. The modules are those in $KNOWN.
LMOD = """
module() {
    [[ " $KNOWN " == *" $2 "* ]] || { echo "Lmod has detected the following error: $2"; return 1; }
    export LOADEDMODULES=${LOADEDMODULES:+$LOADEDMODULES:}$2
} >&2
"""
# `eval` of nothing succeeds, whatever the program said.
TCL_3_2 = """
module() {
    [[ " $KNOWN " == *" $2 "* ]] || echo "ModuleCmd_Load.c(213):ERROR:105: no '$2'" >&2
    [[ " $KNOWN " != *" $2 "* ]] || eval 'export LOADEDMODULES=${LOADEDMODULES:+$LOADEDMODULES:}$2'
}
"""
ALIASED = """
module() { [[ :$LOADEDMODULES: == *:real/1:* ]] || export LOADEDMODULES=real/1; }
"""
# Its scripts read variables that are not set, and end with false tests. An environment takes the
# place of an active one on PATH, as with conda 4.6 and newer.
CONDA = """#!/bin/bash
[[ "$*" == shell.bash\\ hook ]] || exit 9
cat <<'HOOK'
conda() {
    if [[ $2 != known ]]; then echo "EnvironmentNameNotFound: $2" >&2; return 1; fi
    case ${CONDA_SHLVL:-0} in
        0) PATH=/envs/$2/bin:$PATH ;;
        *) PATH=${PATH/"$CONDA_PREFIX/bin"//envs/$2/bin} ;;
    esac
    export CONDA_PREFIX=/envs/$2 CONDA_OLD=$CONDA_NEVER_SET
    [[ -z ${CONDA_SHLVL} ]] && export CONDA_SHLVL=1
    false
    true
}
HOOK
"""


def outcome(
    root: Path, *lines: SetupLine, named: TaskInterpreter | None = None, **environment: str
) -> tuple[list[str], str]:
    """The output of a script behind these steps, and its errors."""
    launcher = Launcher(
        setup=lines, interpreter=Interpreter(own="false", named=named, binds=(root,)), root=root
    )
    end = 'echo "${LOADEDMODULES-} ${CONDA_PREFIX-}"; echo "${PATH%%:*}"\n'
    (root / "script").write_text(launcher.setup_script(FAILED) + end)
    done = subprocess.run(
        ["/bin/bash", root / "script"],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "MODULESHOME": str(root)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines(), done.stderr


def modules(*names: str) -> list[SetupLine]:
    """The steps that load modules."""
    return [
        SetupLine(text=name, where=f"m.yaml:{n}", kind="module") for n, name in enumerate(names, 1)
    ]


@pytest.fixture(params=[LMOD, TCL_3_2], ids=["lmod", "tcl 3.2"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A site whose login shells define `module`, which a batch script does not have."""
    (tmp_path / "init").mkdir()
    (tmp_path / "init/bash").write_text(request.param)
    return tmp_path


def test_modules_are_loaded_in_their_order(site: Path) -> None:
    output, _ = outcome(site, *modules("gcc/12", "mpi"), KNOWN="gcc/12 mpi")
    assert output[0].strip() == "gcc/12:mpi"


def test_a_loaded_module_may_be_loaded_again(site: Path) -> None:
    output, _ = outcome(site, *modules("gcc/12"), KNOWN="gcc/12", LOADEDMODULES="gcc/12")
    assert output[0] != "failed"


def test_a_module_that_does_not_exist_fails(site: Path) -> None:
    output, said = outcome(site, *modules("gcc/12", "nope"), KNOWN="gcc/12")
    assert output == ["failed", "m.yaml:2", "1"]
    assert "error" in said.splitlines()[-1].lower()


def test_an_alias_of_a_loaded_module_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "init/bash").write_text(ALIASED)
    output, _ = outcome(tmp_path, *modules("alias"), LOADEDMODULES="real/1")
    assert output[0].strip() == "real/1"


def test_a_host_without_modules(tmp_path: Path) -> None:
    if any(Path("/etc/profile.d").glob("*[Mm]od*.sh")) or Path("/usr/share/modules").exists():
        pytest.skip("this host has modules")
    output, said = outcome(tmp_path, *modules("gcc/12"))
    assert output == ["failed", "m.yaml:1", "127"]
    assert "there is no command module" in said


def conda(name: str, where: str = "m.yaml:7") -> SetupLine:
    """The step that activates an environment."""
    return SetupLine(text=name, where=where, kind="conda")


@pytest.fixture
def conda_path(tmp_path: Path) -> str:
    """A PATH with conda."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/conda").write_text(CONDA)
    (tmp_path / "bin/conda").chmod(0o755)
    return f"{tmp_path}/bin:/usr/bin:/bin"


def test_a_conda_environment_is_activated(tmp_path: Path, conda_path: str) -> None:
    output, _ = outcome(tmp_path, conda("known"), PATH=conda_path)
    assert output[0] == " /envs/known"


@pytest.mark.parametrize("active", ["base", "known"])
def test_a_conda_environment_is_first_although_one_was_active(
    tmp_path: Path, conda_path: str, active: str
) -> None:
    """That of the shell which submitted, from where sbatch hands on the variables."""
    path = conda_path.replace(":", f":/envs/{active}/bin:", 1)
    output, _ = outcome(
        tmp_path, conda("known"), PATH=path, CONDA_SHLVL="1", CONDA_PREFIX=f"/envs/{active}"
    )
    assert output == [" /envs/known", "/envs/known/bin"]


def test_a_conda_environment_that_does_not_exist(tmp_path: Path, conda_path: str) -> None:
    output, said = outcome(tmp_path, conda("other"), PATH=conda_path)
    assert output == ["failed", "m.yaml:7", "1"]
    assert said.endswith("EnvironmentNameNotFound: other\n")


def test_a_host_without_conda(tmp_path: Path) -> None:
    output, said = outcome(tmp_path, conda("known"))
    assert output == ["failed", "m.yaml:7", "127"]
    assert "there is no conda on the PATH" in said


def test_the_programs_of_an_environment_come_first(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    named = TaskInterpreter(python=f"{tmp_path}/env/bin/python", where="m.yaml:3")
    output, said = outcome(tmp_path, named=named)
    assert (output[-1], said) == (f"{tmp_path}/env/bin", "")
    bare = TaskInterpreter(python=os.path.realpath(sys.executable), where="m.yaml:3")
    assert outcome(tmp_path, named=bare)[0][-1] == "/usr/bin"


@pytest.mark.parametrize(
    ("program", "code"), [("exit 7", "7"), ("kill -9 $$", "137")], ids=["exit", "signal"]
)
def test_an_interpreter_that_does_not_start(tmp_path: Path, program: str, code: str) -> None:
    (tmp_path / "python").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "python").chmod(0o755)
    named = TaskInterpreter(python=f"{tmp_path}/python", where="m.yaml:3")
    assert outcome(tmp_path, named=named)[0] == ["failed", "m.yaml:3", code]


def test_gpus_of_the_node_reach_the_container(tmp_path: Path) -> None:
    named = TaskInterpreter(
        python="python3", where="m:1", container="/i.sif", container_args=("a b",)
    )
    text = Interpreter(own="p", named=named, binds=(tmp_path,), has_gpus=True).program("m", "x y")
    assert text.startswith('"$hpcsweep_apptainer" exec --bind ')
    assert f"--pwd {tmp_path} --nv --bind " in text
    assert " 'a b' /i.sif python3 " in text
    assert text.endswith("bootstrap.py m 'x y'")
