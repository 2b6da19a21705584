"""LoRA files: their sources, their contents, and denoisers with LoRAs."""
