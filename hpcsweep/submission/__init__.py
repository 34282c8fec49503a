"""Submit indices to a cluster: check, decide, plan, submit, cancel.

`policy` decides what is sent, `handing_in` has the one order of the writes, and `sweep_lock` lets
one process at a time submit or cancel. What is known of the cases comes from `state`.
"""
