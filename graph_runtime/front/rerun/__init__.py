"""Runs kept as a whole: the same request again gives the same files without torch, and without the nodes."""
