"""Running a checked workflow: the plan, the loop that executes it, and the caches of results."""
