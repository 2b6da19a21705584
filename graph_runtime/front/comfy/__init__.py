"""ComfyUI: every node as a class of the host."""
