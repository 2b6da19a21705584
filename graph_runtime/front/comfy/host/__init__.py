"""The host, ComfyUI: its folders, memory, progress bar and cancel button. The only folder that names its modules."""
