"""Picture files: finding and opening them, decoding, metadata, and writing."""
