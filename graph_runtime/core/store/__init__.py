"""Kept results: in memory first, then on disk."""
