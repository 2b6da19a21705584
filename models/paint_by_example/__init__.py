"""The exemplar encoder of Paint by Example, as published and as diffusers saves it."""
