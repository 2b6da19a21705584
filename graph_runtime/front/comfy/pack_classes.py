"""What ComfyUI takes from the pack: a class for each node, and one for each name that stands for many workflows."""

from collections.abc import Mapping
from functools import cache
from typing import cast

from ....nodes.pack import PACK
from ..installed import pack
from .bridges import BridgeNode, bridge_mappings
from .expander_node import ExpanderNode, expander_class
from .host.newer_api import OlderClass, extension, newer_class, register_renamed
from .host.seen_samples import serve_samples
from .node_classes import HostNode, mappings
from .node_names import display_name, host_id

Classes = dict[str, type[HostNode] | type[ExpanderNode] | type[BridgeNode]]


@cache
def _pack() -> tuple[Classes, dict[str, str]]:
    serve_samples()
    classes, names = mappings(pack())
    made = {host_id(name): expander_class(name, expander) for name, expander in PACK.expanders.items()}
    bridges, titles = bridge_mappings()
    everything: Classes = {**made, **bridges, **classes}
    older = cast(Mapping[str, type[OlderClass]], everything)
    register_renamed({host_id(old): host_id(new) for old, new in PACK.renamed.items()}, older)
    return everything, {host_id(name): display_name(name) for name in PACK.expanders} | titles | names


def comfy_entrypoint() -> object:
    """The pack through the host's newer API, from the same definitions."""
    classes, names = _pack()
    older = cast(Mapping[str, type[OlderClass]], classes)
    return extension(lambda: [newer_class(made, names[name]) for name, made in older.items()])


def __getattr__(name: str) -> object:
    """The pack's mappings, made when the host asks for them."""
    if name == "NODE_CLASS_MAPPINGS":
        return _pack()[0]
    if name == "NODE_DISPLAY_NAME_MAPPINGS":
        return _pack()[1]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
