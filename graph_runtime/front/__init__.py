"""The doors to the engine, a folder each: command line, Python, ComfyUI, reference pages, drawings, recipes."""
