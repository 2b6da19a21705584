"""`python -m inlay.graph_runtime.front.docs`: write the generated pages and example workflows into the source tree."""

from ..installed import installed_nodes
from .examples import FOLDER_OF_EXAMPLES, write_examples
from .reference import main

main()
write_examples(installed_nodes(), FOLDER_OF_EXAMPLES)
