"""The names of a node in ComfyUI: its class, its title, its folder in the menu, and the words that find it."""

import re

from ....nodes.pack import PACK


def host_id(node_id: str) -> str:
    """`mask.to_latent` → `InlayMaskToLatent`."""
    return "Inlay" + "".join(part[:1].upper() + part[1:] for part in re.split(r"[._]", node_id))


def display_name(node_id: str) -> str:
    """The title: that of the pack, else `mask.to_latent` → `Mask to latent (inlay)`."""
    words = re.sub(r"[._]", " ", node_id)
    return f"{PACK.titles.get(node_id) or words[:1].upper() + words[1:]} (inlay)"


def category(node_id: str) -> str:
    """The folder in the menu, below `inlay/`."""
    family = node_id.partition(".")[0]
    return f"inlay/{PACK.menu.get(family, family)}"


def search_words(node_id: str) -> list[str]:
    """Words that find the node besides its title: its id, those of its family and its own."""
    family = node_id.partition(".")[0]
    own = (*PACK.words.get(node_id, ()), *PACK.words.get(family, ()))
    return list(dict.fromkeys((node_id, *own)))
