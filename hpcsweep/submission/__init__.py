"""Handing indices to a cluster: check, decide, plan, hand in, and take back.

`policy` decides what is sent, `handing_in` has the one order of the writes, and `turns` let one
process at a time submit or cancel. What is known of the cases comes from `state`.
"""
