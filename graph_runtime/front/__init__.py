"""The front ends, one folder each: command line, Python, ComfyUI, reference pages, drawings, recipes."""
