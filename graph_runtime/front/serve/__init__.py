"""The server: `inlay serve`, its REST, its page, and the editor's protocol; only here is a web framework imported."""
