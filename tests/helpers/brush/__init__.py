"""The page of `inlay serve` in a headless browser: hands at it, rounds of paint, an audit."""
