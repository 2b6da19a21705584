"""Files of a model: their state, JSON objects, safetensors headers and tensors."""
