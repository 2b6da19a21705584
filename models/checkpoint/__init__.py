"""Single checkpoint files in the original layout of Stable Diffusion: their layers, metadata and conversion."""
