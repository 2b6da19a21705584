"""What a picture carries, so that it can be made again."""
