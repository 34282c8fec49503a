"""Input files: which a case reads, what is recorded of them, and which cases they make stale."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

import hpcsweep as hs
from hpcsweep import input_files
from hpcsweep.cli.render.rows import print_table
from hpcsweep.cli.render.summary import print_summary
from hpcsweep.errors import InputError, ManifestError
from hpcsweep.indexset import IndexSet
from hpcsweep.input_files import facts_of, has_changed, names_of, paths_of
from hpcsweep.manifest import frozen
from hpcsweep.manifest.user import load_manifest
from hpcsweep.records import ParamCase
from hpcsweep.settings import Settings
from hpcsweep.sources import table
from hpcsweep.state.changed_inputs import with_changed_inputs
from hpcsweep.state.outlook import Outlook, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.state.status import Checks, status
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.missing_inputs import refuse_missing
from hpcsweep.submission.policy import Policy, sendable
from hpcsweep.sweepdir.locate import argument_for
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables.collect import collect
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.selection import Selection, selected_cases
from hpcsweep.tables.sorting import RowOrder
from tests.support.journals import Record
from tests.support.sweeps import MadeSweep

MANIFEST = 'name: s\ncommand: ["echo", "{sample}"]\nsource: {table: sheet.csv}\n'
CASE = ParamCase(
    index=0,
    params={"sample": "s*1", "n": 2, "none": None, "both": ["b.fq", "c.fq"]},
    case_id="0" * 16,
    written={"n": "02"},
    carried={"fasta": "a[1].fa", "gone": None},
)


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["fasta"], ["a[1].fa"]),
        (["both", "gone", "none"], ["b.fq", "c.fq"]),
        (["ref/genome.fa"], ["ref/genome.fa"]),
        (["{fasta}.fai"], ["a[[]1].fa.fai"]),
        (["x{n}{{}}_*.fq"], ["x02{}_*.fq"]),
        (["{none}.fq", "{other}.fq"], []),
    ],
)
def test_the_names_of_input_files(inputs: list[str], names: list[str]) -> None:
    assert list(names_of(inputs, CASE)) == names


def test_patterns_name_what_is_there(tmp_path: Path) -> None:
    for name in ("s*1_R2.fq", "s*1_R1.fq", "sx1_R1.fq", "a[1].fa"):
        (tmp_path / name).write_text(name)
    found = paths_of(["{sample}_R?.fq", "fasta", "no/*.fq"], CASE, str(tmp_path))
    assert list(found) == ["s*1_R1.fq", "s*1_R2.fq", "a[1].fa", "no/*.fq"]
    assert found["a[1].fa"] == tmp_path / "a[1].fa"
    everywhere = paths_of([f"{tmp_path}/s?1_R1.fq"], CASE, "/")
    assert list(everywhere) == [str(tmp_path / "s*1_R1.fq"), str(tmp_path / "sx1_R1.fq")]


def test_what_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a[1].fa").write_bytes(b"acgt")
    (tmp_path / "b.fq").write_bytes(b"x" * 9)
    monkeypatch.setattr(input_files, "DIGESTED_MAX", 8)
    facts = facts_of(["fasta", "both"], CASE, str(tmp_path))
    small, large = facts["a[1].fa"], facts["b.fq"]
    assert small is not None
    assert large is not None
    assert small["size"], small["sha256"] == (4, hashlib.sha256(b"acgt").hexdigest())
    assert (large["size"], "sha256" in large) == (9, False)
    assert facts["c.fq"] is None


def test_a_digest_decides_where_the_time_differs(tmp_path: Path) -> None:
    path = tmp_path / "a.fa"
    path.write_text("acgt")
    case = ParamCase(index=0, params={"fasta": "a.fa"}, case_id="0" * 16)
    facts = facts_of(["fasta"], case, str(tmp_path))["a.fa"]
    assert not has_changed(path, facts)
    os.utime(path, ns=(1, 1))
    assert not has_changed(path, facts)
    path.write_text("acga")  # of the same size
    os.utime(path, ns=(2, 2))
    assert has_changed(path, facts)
    path.write_text("acgtt")
    assert has_changed(path, facts)
    assert facts is not None
    without = {key: facts[key] for key in ("size", "mtime_ns")}
    path.write_text("acgt")
    os.utime(path, ns=(3, 3))
    assert has_changed(path, without)  # nobody knows
    path.unlink()
    assert not has_changed(path, facts)
    assert not has_changed(path, None)
    path.touch()
    assert has_changed(path, None)


# --- a sweep -------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> MadeSweep:
    """A sweep of three samples with a file each; one is missing."""
    (tmp_path / "sheet.csv").write_text("sample,fasta\ns1,a.fa\ns2,b.fa\ns3,c.fa\n")
    for name in ("a.fa", "b.fa"):
        (tmp_path / name).write_text(name)
    source = table(tmp_path / "sheet.csv", key="sample")
    return MadeSweep(
        tmp_path,
        source,
        python="def run(sample, fasta):\n    return {'n': 1}\n",
        cases_sha256=source.frozen()[1],
        inputs=("fasta",),
    )


def changed(made: MadeSweep, *, asked: bool = True) -> Outlook:
    with fresh_index(made.directory) as index:
        tasks = poll(made.directory, index, None, Settings())
        version = Version.of(made.manifest, made.source)
        outlook = outlook_of(made.directory, index, tasks, version)
        return with_changed_inputs(outlook, made.directory, index, asked=asked)


def ends(made: MadeSweep) -> list[Record]:
    return [record for record in made.records("end") if "index" in record]


def test_cases_whose_files_changed_are_stale(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.plan(IndexSet.all(2))
    made.handed_in()
    made.run(0)
    recorded: list[dict[str, Any]] = [record["inputs"] for record in ends(made)]
    assert [list(files) for files in recorded] == [["a.fa"], ["b.fa"]]
    assert not changed(made).changed
    (made.root / "b.fa").write_text("other")
    outlook = changed(made)
    assert str(outlook.changed) == "1"
    assert str(sendable(outlook, Policy(rerun="stale"))) == "1-2"
    assert str(sendable(outlook, Policy())) == "2"
    monkeypatch.setattr("hpcsweep.state.changed_inputs.LOOKED_AT_MAX", 2)
    assert not changed(made, asked=False).changed
    # Computed again, it is not stale any more, whatever is ingested first.
    made.plan(IndexSet([(1, 2)]), generation=1)
    made.handed_in(2)
    made.run(0, submission=2)
    assert not changed(made).changed
    with fresh_index(made.directory, rebuild=True) as index:
        assert [place for place, _ in index.inputs()] == [0, 1]
    assert not changed(made).changed


def where(made: MadeSweep, condition: str, **how: Any) -> list[int]:
    rows = hs.Sweep(str(made.path)).query(condition, columns=["index"], **how)
    return [row["index"] for row in rows]


def test_a_table_marks_the_cases_whose_files_changed(
    made: MadeSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    made.plan(IndexSet.all(2))
    made.handed_in()
    made.run(0)
    (made.root / "b.fa").write_text("other")
    request = TableRequest(
        columns=("index", "status", "inputs_changed", "stale"),
        order=RowOrder(columns=("inputs_changed",), descending=True, limit=2),
    )
    done = collect(made.directory, None, Settings(), print_table, request)
    assert done.inputs.text("s") == "inputs have changed since 1 of 2 cases of s was computed"
    assert capsys.readouterr().out.splitlines() == [
        "index  status      inputs_changed  stale",
        "    1  complete *            true  false",
        "    0  complete             false  false",
    ]
    assert where(made, "inputs_changed") == [1]
    assert where(made, "not inputs_changed and index < 2") == [0]
    assert where(made, "not (inputs_changed or status == 'complete')") == [2]
    assert where(made, "inputs_changed or n == 1", limit=1, sort="n") == [0]
    chosen = Selection(where="inputs_changed")
    version = Version.of(made.manifest, made.source)
    assert str(selected_cases(chosen, version, made.path)) == "1"
    summary = status(made.directory, None, Settings(), checks=Checks.EVERYTHING)
    assert summary.changed == 1
    print_summary(summary)
    assert "inputs have changed since 1 of 2 cases of s was computed" in capsys.readouterr().out
    assert status(made.directory, None, Settings()).changed is None
    assert hs.Sweep(str(made.path)).status().changed == 1
    (made.root / "b.fa").write_text("b.fa")
    assert not collect(made.directory, None, Settings(), lambda *_: None).inputs.text()
    assert status(made.directory, None, Settings(), checks=Checks.EVERYTHING).changed == 0


def test_inputs_of_many_cases_are_looked_at_if_that_is_asked_for(
    made: MadeSweep, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made.plan(IndexSet.all(2))
    made.handed_in()
    made.run(0)
    (made.root / "b.fa").write_text("other")
    monkeypatch.setattr("hpcsweep.state.changed_inputs.LOOKED_AT_MAX", 2)
    sweep = hs.Sweep(str(made.path))
    unseen = sweep.status()
    assert unseen.changed is None
    print_summary(unseen)
    argument = argument_for("s", str(made.path))
    said = "it was not checked whether inputs of 2 cases of s have changed: "
    assert f"{said}`hpcsweep status {argument} --check` does" in capsys.readouterr().out
    assert sweep.status(check=True).changed == 1
    done = collect(made.directory, None, Settings(), lambda *_: None)
    assert done.inputs.unseen
    # A column of it is true, whatever the count.
    assert [row["inputs_changed"] for row in sweep.query(columns=["inputs_changed"])][:2] == [
        False,
        True,
    ]
    assert sweep.query(columns=["index"], sort="inputs_changed", desc=True)[0]["index"] == 1
    grouped = sweep.query(group_by="inputs_changed", stats="n", columns=["inputs_changed", "n_n"])
    assert grouped == [{"inputs_changed": False, "n_n": 1}, {"inputs_changed": True, "n_n": 1}]


def test_a_cell_outside_of_the_key_makes_a_case_stale(made: MadeSweep) -> None:
    made.plan(IndexSet.all(2))
    made.handed_in()
    made.run(0)
    (made.root / "sheet.csv").write_text("sample,fasta\ns2,b.fa\ns1,b.fa\ns3,c.fa\n")
    source = table(made.root / "sheet.csv", key="sample")
    made.freeze(source, cases_sha256=source.frozen()[1], inputs=("fasta",))
    assert str(changed(made).changed) == "1"


def test_missing_files_are_counted_and_named(made: MadeSweep) -> None:
    version = Version.of(made.manifest, made.source)
    refuse_missing(version, IndexSet.all(2))
    with pytest.raises(InputError, match=r"1 input file of 1 case is missing\n  - c\.fa"):
        refuse_missing(version, IndexSet.all(3))
    rows = "".join(f"s{n},no/{n // 2}.fa\n" for n in range(30))
    (made.root / "sheet.csv").write_text(f"sample,fasta\n{rows}")
    source = table(made.root / "sheet.csv")
    with pytest.raises(InputError) as caught:
        refuse_missing(Version.of(made.manifest, source), IndexSet.all(30))
    lines = str(caught.value).splitlines()
    assert lines[0] == "inputs: 15 input files of 30 cases are missing"
    assert lines[1] == "  - no/0.fa (index 0)"
    assert lines[11] == "  - and 5 more"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (
            "[fastq]",
            "'fastq' is neither a column nor a parameter, nor a path. Did you mean",
        ),
        ("['{sampel}.fq']", "'sampel' is neither a column"),
        ("7", "inputs: is the number 7, not a list of texts"),
        ("[]", "not a list of texts"),
        ("[1]", "has the element the number 1, which is no text"),
    ],
)
def test_refused_inputs(tmp_path: Path, inputs: str, words: str) -> None:
    (tmp_path / "sheet.csv").write_text("sample,fasta\ns1,a.fa\n")
    (tmp_path / "m.yaml").write_text(f"{MANIFEST}inputs: {inputs}\n")
    with pytest.raises(ManifestError) as caught:
        load_manifest(tmp_path / "m.yaml")
    assert words in str(caught.value)


def test_a_carried_column_may_name_the_files(tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_text("sample,fasta\ns1,a.fa\n")
    (tmp_path / "m.yaml").write_text(f"{MANIFEST}inputs: fasta\n")
    manifest, source = load_manifest(tmp_path / "m.yaml")
    assert frozen.from_json(frozen.to_json(manifest)).inputs == ("fasta",)
    assert list(names_of(manifest.inputs, source[0])) == ["a.fa"]
