"""The sweep directory: all paths on disk, the plan of a submission, and how to locate a sweep.

`directory` makes every path below a sweep. The content of the files belongs to `manifest`,
`journal`, `logbook` and `store`.
"""
