"""Columns of a table that identify a row, and those that are carried along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcsweep import ids
from hpcsweep.errors import ManifestError, SourceError
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.user import load_manifest
from hpcsweep.sources import (
    ParameterSource,
    grid,
    source_from_manifest_dict,
    table,
    zip_,
)
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables.columns import columns_of
from hpcsweep.tables.selection import Selection, selected_cases
from tests.support.sourcing import frozen, refused
from tests.support.sweeps import MadeSweep

SHEET = "sample,fasta,group,dose\ns1,a.fa,x,0.50\ns2,b.fa,y,1\ns3,c.fa,,2\n"
KEYED = {"key": ["sample"], "carry": ["group"]}


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "sheet.csv"
    path.write_text(SHEET)
    return path


def ids_of(source: ParameterSource) -> list[str]:
    return [case.case_id for case in source]


def test_a_key_is_the_identity(sheet: Path) -> None:
    source = table(sheet, **KEYED)
    assert source[0].params == {"sample": "s1", "fasta": "a.fa", "dose": 0.5}
    assert source[0].carried == {"group": "x"}
    assert source[2].carried == {"group": None}
    assert source.names == {"sample", "fasta", "dose"}
    assert source.carried_names == {"group"}
    assert ids_of(source) == [ids.case_id({"sample": f"s{n}"}) for n in (1, 2, 3)]
    before = ids_of(source)
    sheet.write_text(SHEET.replace("b.fa", "moved/b.fa").replace(",y,", ",z,"))
    assert ids_of(table(sheet, **KEYED)) == before
    described = source.to_manifest_dict()
    assert ids_of(source_from_manifest_dict(described)) == before


def test_carried_cells_are_no_identity(sheet: Path) -> None:
    before = table(sheet, carry="group")
    sheet.write_text(SHEET.replace(",y,", ",z,"))
    after = table(sheet, carry="group")
    assert ids_of(before) == ids_of(after)
    assert before.frozen()[1] != after.frozen()[1]
    # A carried column may have a name that no parameter can have.
    sheet.write_text("x,seed,status\n1,5,a\n2,6,b\n")
    assert table(sheet, carry=["seed", "status"])[1].carried == {"seed": 6, "status": "b"}


def test_through_every_view_and_from_a_frozen_manifest(sheet: Path, tmp_path: Path) -> None:
    rows = table(sheet, **KEYED)
    xyn: list[dict[str, Any]] = [{"group": "x"}, {"group": "y"}, {"group": None}]
    ks = [ids.case_id({"sample": f"s{n}", "k": k}) for n in (1, 2, 3) for k in (1, 2)]
    ones = [ids.case_id({"sample": f"s{n}", "k": 1}) for n in (1, 2, 3)]
    derived = rows.derive("tests.support.sourcing:same")
    sources: dict[str, tuple[ParameterSource, list[str], list[dict[str, Any]]]] = {
        "slice": (rows[::-1], ids_of(rows)[::-1], xyn[::-1]),
        "take": (rows.take([1]), ids_of(rows)[1:2], xyn[1:2]),
        "fixed": (rows.with_params(k=1), ones, xyn),
        "zip": (zip_(rows, grid(k=[1, 2, 3]))[:1], ones[:1], xyn[:1]),
        "product": (rows * grid(k=[1, 2]), ks, [g for g in xyn for _ in (1, 2)]),
        "concat": (rows[:1] + rows[1:], ids_of(rows), xyn),
        "repeat": (
            rows[:1].repeat(2),
            [ids.case_id({"sample": "s1"}, replicate) for replicate in (0, 1)],
            [xyn[0], xyn[0]],
        ),
        "derive": (derived, ids_of(derived), xyn),
    }
    assert len(set(ids_of(derived))) == 3
    for name, (source, case_ids, carried) in sources.items():
        directory = tmp_path / name
        directory.mkdir()
        for one in (source, frozen(source, directory)):
            assert ids_of(one) == case_ids, name
            assert [case.carried for case in one] == carried, name
            found = [one[index].carried for index in range(len(one))]
            assert found == carried == [one.carried(index) for index in range(len(one))], name
            assert one.carried_names == {"group"}, name


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (SHEET, {"key": "sampel"}, "sheet.csv:2: `key` names 'sampel', which is not a column"),
        (SHEET, {"carry": ["grp"]}, "`carry` names 'grp', which is not a column"),
        (SHEET, {"key": "group"}, "sheet.csv:4: has no value in 'group', a column of the key"),
        (SHEET, {"key": "sample", "carry": "sample"}, "carry: sample is in `key`, too"),
        (SHEET, {"key": [1]}, "key: [1] is not a list of columns"),
        (SHEET + "s2,b.fa,y,1.0\n", KEYED, "the cases at 1 and 3 are the same"),
        (
            SHEET + "s2,b.fa,z,3\n",
            KEYED,
            "the rows 1 and 3 (sheet.csv:3) have the same key {'sample': 's2'}, and differ in dose",
        ),
        (
            "x,day\n1,a\n1,b\n",
            {"carry": "day"},
            "the rows 0 and 1 (sheet.csv:2) have the same parameters {'x': 1}, and differ in day",
        ),
    ],
)
def test_refused_roles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, options: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sheet.csv").write_text(text)
    refused(lambda: table("sheet.csv", **options), words)


def test_parts_of_a_concatenation_have_one_key(sheet: Path) -> None:
    with pytest.raises(SourceError, match="the parts have different keys"):
        _ = table(sheet, key="sample") + table(sheet, carry="group")


# --- columns that a command does not use ---------------------------------------------------------


def loaded(root: Path, source: str, command: str = '["echo", "{fasta}"]') -> ParameterSource:
    (root / "m.yaml").write_text(f"name: s\ncommand: {command}\nsource: {source}\n")
    return load_manifest(root / "m.yaml")[1]


def test_what_a_command_does_not_use_is_carried(sheet: Path) -> None:
    root = sheet.parent
    source = loaded(root, "{table: sheet.csv}")
    assert source[0].params == {"fasta": "a.fa"}
    assert source[0].carried == {"sample": "s1", "group": "x", "dose": 0.5}
    keyed = loaded(root, "{table: {file: sheet.csv, key: sample}}")
    assert keyed[0].params == {"sample": "s1", "fasta": "a.fa"}
    product = loaded(
        root, "{product: [{table: sheet.csv}, {grid: {k: [1, 2]}}]}", '["echo", "{fasta}", "{k}"]'
    )
    assert product[1].params == {"fasta": "a.fa", "k": 2}
    chosen = loaded(root, "{table: sheet.csv, where: \"group == 'y' or dose < 1\"}")
    assert [case.params["fasta"] for case in chosen] == ["a.fa", "b.fa"]
    assert chosen[1].carried == {"sample": "s2", "group": "y", "dose": 1.0}
    everything = loaded(root, "{table: sheet.csv}", '["echo", "{params_json}"]')
    assert everything.carried_names == frozenset()
    with pytest.raises(ManifestError, match="the command does not use this parameter"):
        loaded(root, "{table: sheet.csv}", '["echo"]')
    with pytest.raises(ManifestError, match=r"unknown placeholder \{fastq\}"):
        loaded(root, "{table: sheet.csv}", '["echo", "{fasta}", "{fastq}"]')


# --- in the table of results ----------------------------------------------------------------------


def rows_of(made: MadeSweep, *names: str) -> list[tuple[Any, ...]]:
    with fresh_index(made.directory) as index:
        columns = columns_of(index, ())
        assert set(names) <= set(columns.kinds)
        pages = list(index.columns(("idx", "carried", "metrics")))
    return [row for page in pages for row in zip(*page.values(), strict=True)]


def select(made: MadeSweep, where: str) -> str:
    version = Version.of(made.manifest, made.source)
    return str(selected_cases(Selection(where=where), version, made.path))


def test_a_changed_carried_cell_updates_the_table(sheet: Path) -> None:
    python = "def run(sample, fasta, dose):\n    return {'twice': 2 * dose}\n"
    source = table(sheet, **KEYED)
    digest = source.frozen()[1]
    made = MadeSweep(sheet.parent, source, python=python, cases_sha256=digest)
    made.plan(IndexSet.all(2))
    made.handed_in()
    made.run(0)
    assert rows_of(made, "group", "twice") == [
        (0, '{"group":"x"}', '{"twice":1.0}'),
        (1, '{"group":"y"}', '{"twice":2.0}'),
    ]
    assert select(made, "group == 'y' and twice > 1") == "1"
    assert select(made, "group == None") == "2"  # a case that never began
    # Another cell, another order, and another path, which is no part of the key.
    lines = SHEET.replace("x,0.50", "new,0.50").replace("b.fa", "moved.fa").splitlines()
    sheet.write_text("\n".join([lines[0], lines[3], lines[1], lines[2]]) + "\n")
    source = table(sheet, **KEYED)
    made.freeze(source, cases_sha256=source.frozen()[1])
    made.plan(IndexSet([(0, 1)]))
    made.handed_in(2)
    assert rows_of(made, "group") == [
        (1, '{"group":"new"}', '{"twice":1.0}'),
        (2, '{"group":"y"}', '{"twice":2.0}'),
    ]
    assert select(made, "group == 'new'") == "1"
    # What runs now has other params under the same id; that is no collision.
    made.plan(IndexSet([(2, 3)]), generation=1)
    made.handed_in(3)
    made.run(0, submission=3)
    assert len(rows_of(made, "group")) == 2
