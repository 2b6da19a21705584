"""Parts of the definition of a node: its settings, sockets, migrations and documentation."""
