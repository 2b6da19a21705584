"""Everything that can be wrong with a workflow, found at once and before anything runs.

One check is one function, with the one problem that it reports; `workflow.py` says in which order they are called.
"""
