"""Masks: values, growth, the latent grid, shapes, files, and warnings about probable mistakes."""
