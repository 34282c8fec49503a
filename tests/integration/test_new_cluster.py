"""A kind of cluster that hpcsweep does not bring: one new file and one line of the registry."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

import hpcsweep as hs
from hpcsweep.cli import main
from hpcsweep.cli.completion import CLUSTERS
from hpcsweep.cluster import registry
from hpcsweep.errors import InputError

REPOSITORY = Path(__file__).parents[2]


def add_toy(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the file that CONTRIBUTING.md shows, and its line to the registry."""
    page = (REPOSITORY / "CONTRIBUTING.md").read_text().partition("## Add a cluster\n")[2]
    shown = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    line = re.search(r'`"toy": "hpcsweep\.cluster\.(toy:Toy)",`', page)
    assert line is not None
    (directory / "toy.py").write_text(textwrap.dedent(shown[1]))
    monkeypatch.syspath_prepend(directory)
    monkeypatch.setitem(registry.CLUSTERS, "toy", line[1])


def test_a_sweep_on_a_cluster_of_a_new_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_toy(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text("def f(x):\n    return {'y': 2 * x}\n")
    sweep = hs.Sweep(
        "s",
        hs.grid(x=[1, 2, 3]),
        target="model.py:f",
        chunk=2,
        cluster="toy",
        setup=["echo set up"],
    )
    (job_id,) = sweep.submit().job_ids
    assert job_id.endswith(".1.0")
    assert sweep.wait().is_complete
    # Later commands find it by the record of the submission.
    again = hs.Sweep("s")
    assert [row["y"] for row in again.query()] == [2, 4, 6]
    assert "0.1.toy\nset up\n" in again.logs(2)
    assert again.submit().plan is None


def test_a_kind_without_its_line_does_not_exist() -> None:
    with pytest.raises(InputError, match="'toy' is not a kind of cluster") as caught:
        registry.check_kind("toy", "m.yaml:1")
    assert "auto, slurm, pbs, emulated and submitit:EXECUTOR" in caught.value.next_step


def test_help_completion_and_docs_name_every_kind() -> None:
    """`--help` and completion do not load what the registry loads: they have the names."""
    completed = {kind.partition(":")[0] for kind in CLUSTERS} - {"auto"}
    assert completed == {kind.removesuffix(":") for kind in registry.CLUSTERS}
    named = "auto|" + "|".join(
        f"{kind}EXECUTOR" if kind.endswith(":") else kind for kind in registry.CLUSTERS
    )
    assert named in CliRunner().invoke(main, ["submit", "--help"]).output
    page = (REPOSITORY / "docs/reference/cli.md").read_text()
    assert f"--cluster {named}" in page.replace("\\|", "|")


@pytest.mark.parametrize("kind", ["submitit", "submitit:", "submitit:a b", "slurm:x", ":", ""])
def test_a_name_belongs_to_the_kinds_that_take_one(kind: str) -> None:
    with pytest.raises(InputError, match="not a kind of cluster"):
        registry.check_kind(kind, "")
