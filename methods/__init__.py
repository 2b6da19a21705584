"""The papers' algorithms, tensors in and tensors out. One file or folder per paper; shared code is in the other
folders."""
