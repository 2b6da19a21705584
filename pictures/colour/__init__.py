"""Colour spaces: what a file declares, ICC profiles, and conversion to sRGB and back."""
