"""The reference pages, generated from the nodes. `python -m inlay.graph_runtime.front.docs` writes them."""
