"""The nodes of the family mask."""
