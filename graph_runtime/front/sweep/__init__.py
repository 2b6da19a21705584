"""Sweeps: one run for each combination of values, expanded as it goes, with everything shared that can be."""
