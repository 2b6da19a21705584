"""`inpaint` in the place of a node: links bring the pictures, and what reads the node saves."""

from collections.abc import Callable, Mapping, Set
from copy import deepcopy
from typing import TypedDict, cast

from ...graph_runtime.core.expander import Expansion, Inside
from .values import problem

#: Pictures of an editor are sRGB and have no profile: these hand on what comes in.
COLOURS = ("image.to_srgb", "image.from_srgb")
JUST_BELOW_HALF = 0.49999997  # the number of 32 bits before 0.5: above it is what `mask.load` calls "from 0.5 on"
UNREAD = "owner/name"  # stands for a model whose files this does not read
SHEETS = ("sheet",)


class _Node(TypedDict, total=False):
    type: str
    version: int
    params: dict[str, object]
    inputs: dict[str, str]


def taken_in(
    values: Mapping[str, object], wired: Set[str], expand: Callable[[Mapping[str, object]], Expansion]
) -> Inside:
    """The workflow of some options, with open sockets where links bring a picture.

    A model that is a path is not looked at, so its method has to be said.

    Args:
        values: the options that are not links.
        wired: the options that are.
        expand: makes the plain workflow.
    """
    source = values.get("source")
    looked_at = not isinstance(source, str) or _may_be_looked_at(source)
    asked = {**values, **({} if looked_at else {"source": UNREAD})}
    made = expand({**asked, **dict.fromkeys(wired, "picture")})
    problems = list(made.problems)
    if made.undecided is not None:
        fix = (
            "say it: null_space for a text-to-image model, model for an inpainting model, exemplar for Paint by Example"
        )
        problems.append(problem("method", "auto, with a model that is not read here", "a method", fix))
    file = deepcopy(dict(made.workflow))
    nodes = cast(dict[str, _Node], file["nodes"])
    if not looked_at:
        for node in nodes.values():
            node["params"] = {name: source if v == UNREAD else v for name, v in node.get("params", {}).items()}
    outputs = cast(dict[str, str], file["outputs"])
    pictures = [link for name, link in outputs.items() if name not in SHEETS]
    for name in [name for name, node in nodes.items() if node["type"] in ("image.save", "image.grid")]:
        del nodes[name]
    pictures = _without_colours(nodes, pictures)
    loaders = cast(dict[str, str | list[str]], file["inputs"])
    read = {name: str(loaders[name]).partition(".")[0] for name in wired if name in loaders}
    masks_first = sorted(read, key=lambda name: nodes[read[name]]["type"] != "mask.load")  # they read the photo too
    sockets = {name: _opened(nodes, read[name]) for name in masks_first}
    plain = {"format": file["format"], "nodes": nodes}
    return Inside(plain, sockets, tuple(pictures), tuple(problems))


def _may_be_looked_at(source: str) -> bool:
    from ...models.folder import EMBEDDED
    from ...models.source import HUB_ID

    return source in EMBEDDED or bool(HUB_ID.fullmatch(source))


def _without_colours(nodes: dict[str, _Node], pictures: list[str]) -> list[str]:
    """Take out what converts colours; returns the links to the pictures as they are then."""
    for name in [name for name, node in nodes.items() if node["type"] in COLOURS]:
        before = nodes.pop(name)["inputs"]["image"]
        for node in nodes.values():
            node["inputs"] = {
                socket: before if link == f"{name}.image" else link for socket, link in node.get("inputs", {}).items()
            }
        pictures = [before if link == f"{name}.image" else link for link in pictures]
    return pictures


def _opened(nodes: dict[str, _Node], loader: str) -> tuple[str, ...]:
    """Take the node out that reads a picture; returns the sockets that read it."""
    if nodes[loader]["type"] == "mask.load":
        inverted = bool(nodes[loader].get("params", {}).get("invert"))
        nodes[loader] = {"type": "mask.threshold", "version": 1, "params": {"value": JUST_BELOW_HALF}}
        if not inverted:
            return (f"{loader}.mask",)
        nodes[f"{loader}_inverted"] = {"type": "mask.invert", "version": 1}
        nodes[loader]["inputs"] = {"mask": f"{loader}_inverted.mask"}
        return (f"{loader}_inverted.mask",)
    del nodes[loader]
    found = []
    for name, node in nodes.items():
        for socket, link in list(node.get("inputs", {}).items()):
            if link.partition(".")[0] == loader:
                del node["inputs"][socket]
                found += [f"{name}.{socket}"] if link == f"{loader}.image" else []
    return tuple(found)
