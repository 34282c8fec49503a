"""The registry of tools whose files can be imported: a new one needs a module and one line here."""

from __future__ import annotations

from importlib import import_module

from hpcsweep.foreign.draft import Draft, ImportRequest

# Module by tool; each has `import_file`. A module is imported when its tool is named.
TOOLS = {
    "hydra": "hpcsweep.foreign.hydra_sweeps",
    "wandb": "hpcsweep.foreign.wandb_sweeps",
    "optuna": "hpcsweep.foreign.optuna_studies",
    "snakemake": "hpcsweep.foreign.paramspaces",
    "csv": "hpcsweep.foreign.csv_tables",
}


def import_file(tool: str, request: ImportRequest) -> Draft:
    """The manifest of a file of a tool of `TOOLS`. *Raises* InputError."""
    draft: Draft = import_module(TOOLS[tool]).import_file(request)
    return draft
