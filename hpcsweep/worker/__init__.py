"""The worker: one process per array task, standard library only (DESIGN invariant 17).

`task` composes it from `ledger` (the journal, and the cases that are settled), `outputs` (the files
of cases), `lanes` (a slot with outputs for each case that runs at once; `shares` says what each has
of the task), `runner` (the event loop over them), `timelimit` (whether another case fits) and
`attempt` (one case from begin to end). A `slot` runs each case in a process forked from `child`,
the only one that imports user code. Not here: planning, and the database (ingest is another
program).
"""
