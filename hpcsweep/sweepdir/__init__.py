"""The sweep directory: where everything lies, the plan of a submission, and which sweep is meant.

Every path below a sweep is made in `directory`. What is inside the files is not known here: that
is the business of `manifest`, `journal`, `logbook` and `store`.
"""
