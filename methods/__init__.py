"""What the papers say: tensors in, tensors out. A file for each paper, and what they share in the folders beside."""
