"""Repositories on the Hugging Face hub: their contents, and their files on this machine."""
