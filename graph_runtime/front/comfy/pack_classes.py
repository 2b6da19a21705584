"""What ComfyUI takes from the pack: a class for each node, and one for each name that stands for many workflows."""

from functools import cache

from ....nodes.pack import PACK
from ..installed import pack
from .expander_node import ExpanderNode, expander_class
from .host.seen_samples import serve_samples
from .node_classes import HostNode, mappings
from .node_names import display_name, host_id

Classes = dict[str, type[HostNode] | type[ExpanderNode]]


@cache
def _pack() -> tuple[Classes, dict[str, str]]:
    serve_samples()
    classes, names = mappings(pack())
    made = {host_id(name): expander_class(name, expander) for name, expander in PACK.expanders.items()}
    return {**made, **classes}, {host_id(name): display_name(name) for name in PACK.expanders} | names


def __getattr__(name: str) -> object:
    """The pack's mappings, made when the host asks for them."""
    if name == "NODE_CLASS_MAPPINGS":
        return _pack()[0]
    if name == "NODE_DISPLAY_NAME_MAPPINGS":
        return _pack()[1]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
