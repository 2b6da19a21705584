"""The engine: what a node is, workflow files, checks, plans, execution, models and their memory."""
