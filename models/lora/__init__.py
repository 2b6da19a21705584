"""LoRA files: where they are, what they say, and a denoiser with some on it."""
