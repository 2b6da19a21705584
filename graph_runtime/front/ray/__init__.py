"""Whole workflows as tasks on the machines of a Ray cluster; no other folder names Ray."""
