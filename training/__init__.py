"""Training: the loop, its processes, examples made ahead, and the two things that train."""
