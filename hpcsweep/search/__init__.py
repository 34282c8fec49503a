"""Adaptive search: the next cases of a sweep follow from the results of earlier ones, by Optuna.

The manifest has the space and the rules, the index the results: a study is made of both whenever
one is needed, so that nothing else has to be kept, and nothing can disagree with the journals.
"""
