"""The host's files: its API and UI JSON, and pictures that carry them; no web framework, no host module, no torch."""
