"""`python -m inlay.graph_runtime.front.docs`: write the generated pages into the source tree."""

from .reference import main

main()
