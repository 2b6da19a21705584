"""Memory of a device: what models are, which are in it, and how much everything together may take."""
