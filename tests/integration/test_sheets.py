"""A sample sheet from the manifest to the table of results, on the emulated cluster."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tests.support import clusters
from tests.support.clusters import EmulatedCluster
from tests.support.project import Project

emulated = clusters.emulated

SHEET = "sample;fasta;group;dose\r\n007;a.fa;x;0,50\r\n008;b.fa;y;1,25\r\n009;c.fa;NA;2\r\n"
# It appends its arguments to a file, and counts the bytes of its input.
PROGRAM = """\
#!/bin/sh
echo "$@" >>arguments
printf '{"bytes": %d}' "$(wc -c <"$2")" >"$3/metrics.json"
"""


def test_a_sheet_with_a_key_and_input_files(emulated: EmulatedCluster, tmp_path: Path) -> None:
    table = {"file": "sheet.csv", "delimiter": ";", "decimal": ",", "key": "sample"}
    command = ["./align.sh", "{sample}", "{fasta}", "{run_dir}", "{dose}"]
    project = Project(emulated, tmp_path / "p", 1, chunk=3)
    del project.manifest["target"]
    project.write(command=command, source={"table": table}, inputs="fasta")
    root = project.root
    (root / "sheet.csv").write_bytes(b"\xef\xbb\xbf" + SHEET.encode())
    (root / "align.sh").write_text(PROGRAM)
    (root / "align.sh").chmod(0o755)
    (root / "a.fa").write_text("acgt")

    said = project.cli("validate", "manifest.json").stdout
    assert "sample text, fasta text, dose number; carried: group text; key: sample" in said
    said = project.submit(code=3).stderr
    assert "2 input files of 2 cases are missing" in said
    assert "  - b.fa (index 1)" in said
    assert not (root / "outputs/sweep/submissions").exists()

    for name in ("b.fa", "c.fa"):
        (root / name).write_text("acgt")
    project.submit("--canary", "0", "--wait")
    ran = sorted(line.split() for line in (root / "arguments").read_text().splitlines())
    assert [(words[0], words[3]) for words in ran] == [
        ("007", "0,50"),
        ("008", "1,25"),
        ("009", "2"),
    ]

    # A carried cell, and the place of a file: nothing is computed again, and the table knows.
    text = SHEET.replace(";x;", ";new;")
    (root / "sheet.csv").write_text(text)
    done = project.submit()
    assert "nothing to submit, 3 complete" in done.stdout
    assert "the same 3 cases as in the last submission, in another order, or with" in done.stderr
    names = "sample,dose,group,bytes"
    options = ("--format", "csv", "--columns", names, "--where", "group != 'y'")
    rows = csv.reader(io.StringIO(project.cli("collect", "sweep", *options).stdout))
    assert list(rows) == [names.split(","), ["007", "0.5", "new", "4"], ["009", "2.0", "NA", "4"]]

    (root / "c.fa").write_text("acgtacgt")
    said = project.submit().stdout
    assert "inputs have changed since 1 of 3 cases was computed (indices 2)" in said
    project.submit("--rerun", "stale", "--canary", "0", "--wait")
    assert len((root / "arguments").read_text().splitlines()) == 4
    text = project.cli("collect", "sweep", "--format", "csv", "--columns", "bytes").stdout
    assert text.split() == ["bytes", "4", "4", "8"]
