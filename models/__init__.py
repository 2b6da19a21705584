"""Where weights come from: sources, hub, folders, single files, layouts; one file a family of models."""
