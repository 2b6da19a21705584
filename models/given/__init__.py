"""Models whose weights are in memory already, in the hands of a host."""
