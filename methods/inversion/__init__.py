"""Inversion of a picture to noise, and tuned embeddings that lead back to the picture."""
