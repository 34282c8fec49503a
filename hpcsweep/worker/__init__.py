"""The worker: one process per array task, standard library only (DESIGN invariant 17).

`task` composes it from `ledger` (the journal, and the cases that are settled), `outputs` (the files
of cases), `runner` (the event loop over the slots) and `attempt` (one case from begin to end). A
`slot` runs each case in a process forked from `child`, the only one that imports user code. Not
here: planning, queries to the cluster, and the database (ingest is another program).
"""
