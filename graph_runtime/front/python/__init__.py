"""`inlay.run` and `inlay.check`."""
