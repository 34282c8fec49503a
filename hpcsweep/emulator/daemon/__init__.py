"""The scheduler process of an emulated cluster: its loop, its requests, its policies.

Policies are functions that return decisions; `controller` carries them out. What the programs
print is not decided here.
"""
