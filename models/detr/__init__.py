"""DETR (Carion et al. 2020): its description, preprocessing, and output."""
