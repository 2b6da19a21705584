"""Picture files: which are found and opened, decoded samples, metadata, and writing."""
