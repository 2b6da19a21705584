"""From a picture back to noise, and embeddings that lead forward to it again."""
