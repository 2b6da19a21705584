"""Repositories on the Hugging Face hub: what they hold, and their files on this machine."""
