"""`Executor`: functions called on a cluster, as `concurrent.futures` has it, by a sweep.

A call is a case of the sweep: its params name the digests of two pickle files in the private sweep
directory, the function and its arguments; its answer is a pickle file of the case's run.
"""
