"""What a picture records of its run, so that it can be made again."""
