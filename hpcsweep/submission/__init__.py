"""Handing indices to a cluster: check, plan, write, send, and take back.

The write order of a submission lives here, and so do the turns that let one process at a time
submit or cancel. What is known of the cases comes from `state`.
"""
