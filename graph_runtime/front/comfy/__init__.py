"""ComfyUI: every node as a class of its API."""
