"""Filling a hole with patches of the picture itself: multi-scale patch search and vote, then copying."""
