"""The table of commands; each is one module that defines `command`.

A module is imported when its command is called, its help is shown or its options are completed. So
the top of a module imports only what declares options; the function imports the rest.
"""

from __future__ import annotations

# Name: (module, relative to this package or absolute; line in the list of commands), in the order
# of use.
COMMANDS = {
    "init": (".init", "Write a manifest and a target to begin with."),
    "import": (".import_manifest", "Write a manifest from a file of another tool."),
    "schema": (".schema", "Print the JSON Schema of a manifest, or of a command's JSON document."),
    "validate": (".validate", "Check a manifest and report all of its mistakes."),
    "plan": (".plan", "Show what a submit would send."),
    "run": (".run", "Run one case here, with the seed that it has on the cluster."),
    "submit": (".submit", "Submit the missing cases of a sweep to the cluster."),
    "list": (".list", "Show the sweeps of a directory: cases, states, age and size."),
    "status": (".status", "Show what is known of a sweep's cases."),
    "logs": (".logs", "Print what a case logged and printed."),
    "collect": (".collect", "Print one row per case, in index order."),
    "compare": (
        ".compare",
        "Show in what two sweeps differ: cases, states, metrics, code and environment.",
    ),
    "efficiency": (
        ".efficiency",
        "Compare what array tasks asked for with what their cases used.",
    ),
    "plot": (".plot", "Draw one column over another, of the complete cases."),
    "report": (".report", "Write a sweep as one HTML file: state, figures, provenance."),
    "view": (".view", "Show a sweep, or all sweeps of a directory, live in a browser."),
    "files": (".files", "Print one file of every case, in index order."),
    "unpack": (".unpack", "Make run directories of packed runs."),
    "retry": (".retry", "Submit failed and missing cases again, as they were submitted."),
    "advance": (".advance", "Continue a sweep: submit the rest, and the retries of its manifest."),
    "cancel": (".cancel", "Cancel the array tasks of a sweep; results stay."),
    "rename": (".rename", "Give a sweep another name; its results, cases and seeds stay."),
    "copy": (".copy", "Copy a sweep into another directory, here or on another host."),
    "archive": (
        ".archive",
        "Write a sweep into one tar, which commands read as they read its directory.",
    ),
    "clean": (
        ".clean",
        "Remove what a sweep no longer needs; results and the files of every case stay.",
    ),
    "rm": (".rm", "Remove sweeps with all of their results."),
    "ingest": (".ingest", "Bring the index up to date with the journals."),
    "doctor": (".doctor", "Check what sweeps need, here and on a compute node."),
    "completion": (
        ".completion",
        "Print the script by which a shell completes the command line.",
    ),
    "db": (".db", "A PostgreSQL of your own, here or on a compute node, for sweep indexes."),
    "emulator": (".emulator", "A Slurm on this machine, in a directory: for tests and laptops."),
}

# Hints for commands that users expect and that do not exist.
INSTEAD = {
    "delete": "`hpcsweep rm NAME` removes a sweep with its results.",
    "help": "`hpcsweep --help` lists the commands, `hpcsweep COMMAND --help` explains one.",
    "install": "`hpcsweep --on HOST install` installs hpcsweep on another host.",
    "ls": "`hpcsweep list` shows the sweeps, `hpcsweep status NAME` one of them.",
    "version": "`hpcsweep --version` prints it.",
}
INSTEAD |= {"cp": "`hpcsweep copy` copies a sweep.", "mv": "`hpcsweep rename` renames a sweep."}
