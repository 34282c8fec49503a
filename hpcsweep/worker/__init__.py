"""The worker: one process per array task, standard library only (DESIGN invariant 17).

`task` composes it: `ledger` (what is settled and journaled), `outputs` (where files go), `runner`
(the event loop over the slots), `attempt` (one case from its begin to its end). A `slot` runs each
case in a process forked from `child`, which alone imports user code. Not here: planning, asking the
cluster, and the database, as ingest is another program.
"""
