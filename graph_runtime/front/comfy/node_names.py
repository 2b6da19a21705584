"""The names of a node in ComfyUI: its class name and its display name."""

import re


def host_id(node_id: str) -> str:
    """`mask.to_latent` → `InlayMaskToLatent`."""
    return "Inlay" + "".join(part[:1].upper() + part[1:] for part in re.split(r"[._]", node_id))


def display_name(node_id: str) -> str:
    """`mask.to_latent` → `Mask to latent (inlay)`."""
    words = re.sub(r"[._]", " ", node_id)
    return f"{words[:1].upper()}{words[1:]} (inlay)"
