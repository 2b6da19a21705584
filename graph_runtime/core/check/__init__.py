"""Checks that find every problem of a workflow at once, before anything runs.

Each check is one function that reports one kind of problem; `workflow.py` sets their order.
"""
