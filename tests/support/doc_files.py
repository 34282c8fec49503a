"""The files beside the manifests in the documentation."""

from __future__ import annotations

from pathlib import Path

# By name. A plate as a German spreadsheet saves it.
FILES = {
    "model.py": "",
    "plate.csv": "\ufeffwell;dose;cells\r\n1;0,5;200\r\n2;1;-\r\n3;NA;150\r\n",
    "samples.tsv": "sample\tfasta\tgroup\tbatch\ns1\ta.fa\tx\t1\ns2\tb.fa\ty\t1\n",
    "align.sh": "#!/bin/sh\n",
    "sim": "#!/bin/sh\n",
    # Digests are taken, the values are not loaded.
    "data.npz": "",
    "names.json": "{}",
    "image.sif": "",
}


def write_doc_files(root: Path) -> None:
    """Write the files that manifests of the documentation name."""
    for name, text in FILES.items():
        (root / name).write_text(text, newline="")
