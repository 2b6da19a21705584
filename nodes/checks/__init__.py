"""What the nodes know before a run: sizes, files' headers, settings that cannot go together."""
