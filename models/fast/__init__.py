"""Denoisers that are evaluated faster, within a tolerance."""
