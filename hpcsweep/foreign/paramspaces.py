"""A manifest of the table of Snakemake's `Paramspace`: each row is a case."""

from __future__ import annotations

from hpcsweep.foreign.csv_tables import of_table
from hpcsweep.foreign.draft import Draft, ImportRequest


def import_file(request: ImportRequest) -> Draft:
    """The draft of the table of a Paramspace, a file of tab- or comma-separated values."""
    draft = of_table(request, "a table of parameters")
    draft.left_out += [
        "the rules of the Snakefile; one command is run for each row",
        "output files by wildcard patterns; each case has a run directory, {run_dir}",
    ]
    return draft
