"""The sweep directory: all paths on disk, plans of submissions, and how to locate a sweep.

`directory` makes every path below a sweep; `parts` divides indices into chunks and parts, `plan`
has the result. The content of the other files belongs to `manifest`, `journal`, `logbook` and
`store`.
"""
