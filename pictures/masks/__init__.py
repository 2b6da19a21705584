"""Masks: values, growing, the latent grid, shapes, files, and warnings about probable mistakes."""
