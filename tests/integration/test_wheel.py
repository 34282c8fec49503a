"""The wheel, in a virtual environment with nothing else: what a user gets from an index."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import hpcsweep
from hpcsweep.cli.manual import manual_pages

REPOSITORY = Path(__file__).parents[2]
# One of the parallel test processes builds and installs it, once.
pytestmark = pytest.mark.xdist_group("wheel")
# Building and installing fetch packages from the index.
INSTALL_S = 240
CLI_S = 120


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--wheel", "--outdir", out, REPOSITORY, timeout=INSTALL_S)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment in which the wheel, with what it needs, was installed."""
    directory = tmp_path_factory.mktemp("clean") / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", directory)
    install = ("-m", "pip", "--python", directory / "bin" / "python", "install", "--quiet", wheel)
    call(sys.executable, *install, timeout=INSTALL_S)
    return directory


@pytest.fixture
def project(venv: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the example; the emulated cluster that is started for it ends with the test."""
    yield Path(shutil.copytree(REPOSITORY / "examples" / "oscillator", tmp_path / "oscillator"))
    stop = "from hpcsweep import emulator; emulator.stop(emulator.default_state_dir())"
    call(venv / "bin" / "python", "-c", stop)


def call(*argv: str | Path, cwd: Path | None = None, timeout: float = CLI_S) -> str:
    """What a program prints that succeeds."""
    # A checkout on the path would stand in for what the wheel lacks.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_wheel_has_the_package_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "hpcsweep",
        f"hpcsweep-{hpcsweep.__version__}.dist-info",
        f"hpcsweep-{hpcsweep.__version__}.data",
    }
    manual = {name.rpartition("/")[2] for name in names if ".data/data/share/man/man1/" in name}
    assert manual == set(manual_pages())
    for data, folder in (("slurm_templates", "."), ("starters", "examples")):
        root = REPOSITORY / folder / data
        files = {str(path.relative_to(root)) for path in root.rglob("*.*") if path.is_file()}
        kept = {path for path in files if "__pycache__" not in path}
        assert kept <= {name.removeprefix(f"hpcsweep/{data}/") for name in names}
    assert "hpcsweep/py.typed" in names
    # The table of direction numbers is not ours: its licence ships with it.
    assert "hpcsweep/sources/numeric/sobol_numbers.LICENSE" in names
    # Nor is Vega, which reports draw with.
    vendored = {"LICENSES.txt", "vega.min.js", "vega-lite.min.js", "vega-embed.min.js"}
    assert {f"hpcsweep/report/vendor/{name}" for name in vendored} <= set(names)
    assert "hpcsweep/report/assets/report.css" in names
    modules = {
        str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "hpcsweep").rglob("*.py")
    }
    starters = "hpcsweep/starters/"
    shipped = {name for name in names if name.endswith(".py") and not name.startswith(starters)}
    assert modules == shipped


def test_the_readme_of_the_wheel_has_no_link_that_the_index_lacks(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
    metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = metadata.get_payload(decode=True).decode()  # type: ignore[union-attr]  # bytes
    links = re.findall(r"\]\(([^)]*)\)", text)
    address = "https://github.com/hpcsweep/hpcsweep/blob/main/"
    files = [link.removeprefix(address) for link in links if link.startswith(address)]
    assert len(files) > 10
    assert [file for file in files if not (REPOSITORY / file.partition("#")[0]).exists()] == []
    assert [link for link in links if "://" not in link and not link.startswith("#")] == []


def test_the_wheel_installs_the_command(venv: Path, tmp_path: Path) -> None:
    said = call(venv / "bin" / "hpcsweep", "--version", cwd=tmp_path)
    assert said == f"hpcsweep {hpcsweep.__version__}\n"
    tell = "import hpcsweep; print(hpcsweep.__file__)"
    assert call(venv / "bin" / "python", "-c", tell, cwd=tmp_path).startswith(f"{venv}/")


def test_the_wheel_finds_its_template(venv: Path, project: Path) -> None:
    script = call(venv / "bin" / "hpcsweep", "plan", "manifest.yaml", "--script", cwd=project)
    assert "\n#SBATCH --time=00:05:00\n" in script
    assert f"exec {venv}/bin/python" in script


def test_the_wheel_runs_the_example(venv: Path, project: Path) -> None:
    program = venv / "bin" / "hpcsweep"
    submit = (program, "submit", "manifest.yaml", "--cluster", "emulated")
    assert "6 of 6" in call(*submit, "--dry-run", cwd=project)
    assert not (project / "outputs").exists()
    call(*submit, "--wait", cwd=project)
    rows = call(program, "collect", "oscillator", "--format", "csv", cwd=project).splitlines()
    assert len(rows) == 1 + 6
    assert all(",complete," in row for row in rows[1:])
