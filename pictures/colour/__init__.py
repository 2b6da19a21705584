"""Colour spaces: declarations in files, ICC profiles, and conversion to sRGB and back."""
