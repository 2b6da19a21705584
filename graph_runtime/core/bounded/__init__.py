"""What a stranger's workflow may cost: limits, and the reading of JSON and of Python dicts within them."""
