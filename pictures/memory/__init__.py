"""Pictures in memory, of Pillow, NumPy and torch: written to a file that image.load reads, and made of one."""
