"""Sources of weights: hub, folders, single files and their layouts; one file per family of models."""
