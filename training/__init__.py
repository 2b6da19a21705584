"""Training: the loop, its processes, examples prepared ahead, and the two trainings."""
