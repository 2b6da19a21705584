"""What judges the executor."""
