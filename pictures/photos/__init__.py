"""Photos on disk with boxes or masks, to train on."""
