"""Clusters of several processes on this machine."""
