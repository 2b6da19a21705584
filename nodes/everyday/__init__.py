"""`inpaint`, the workflow for everyday: options in, a plain workflow of this pack's nodes out. Imports no torch."""
