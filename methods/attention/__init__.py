"""Attention controls: rows of a batch that compute with queries, keys or values of other rows."""
