"""Which files text names: places, what is listed there, and what may be read."""
