"""The worker: one process per array task, standard library only (DESIGN invariant 17).

`task` runs the cases of a chunk, each by a `slot` in a process forked from `child`, which alone
imports user code. The worker never touches the database: ingest is another program.
"""
