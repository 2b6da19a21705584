"""The nodes of the family image."""
