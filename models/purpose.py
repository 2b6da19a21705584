"""What a model is made for, read from its configuration before anything else of it is."""

from typing import Literal

from .config import Config
from .folder import EMBEDDED, ModelFolder
from .hub.client import Request, download, listing
from .hub.snapshots import snapshots
from .source import HUB_ID, local_path, locate

#: text: a UNet that takes latents and a prompt; inpaint: one that also takes the masked picture and the mask; exemplar:
#: such a UNet with an exemplar encoder (Paint by Example).
Purpose = Literal["text", "inpaint", "exemplar"]
CONFIGURATION = ("model_index.json", "unet/config.json")


def purpose_of(source: str) -> Purpose | None:
    """The purpose of the model that a person named; None for a hub id whose configuration is not on this machine.

    Raises:
        ModelError: no such model, or a configuration that is missing or damaged.
    """
    if source in EMBEDDED:
        return "exemplar" if EMBEDDED[source][1] == "paint_by_example" else "text"
    path = local_path(source)
    if path is None and HUB_ID.fullmatch(source):
        return _of_snapshot(source)
    if path is not None and path.suffix == ".safetensors" and path.is_file():
        from .files.safetensors_header import read_header
        from .paint_by_example.original import holds_encoder

        if holds_encoder(read_header(path).tensors):
            return "exemplar"
    origin = locate(source if path is None else str(path))
    if isinstance(origin, ModelFolder) and _has_exemplar_encoder(origin):
        return "exemplar"
    return _of_unet(origin.config("unet"))


def fetch_configuration(source: str) -> None:
    """Download the files that tell what a model on the hub is made for: some kilobytes.

    Raises:
        ModelError: there is no such model, or no network.
        Cancelled: the user asked to stop.
    """
    wanted = Request(source, None)
    found = listing(wanted)
    download(wanted, [name for name in found.names if name in CONFIGURATION], found.sizes)


def _of_snapshot(repository: str) -> Purpose | None:
    found = snapshots(repository, only=[*CONFIGURATION])
    if not found:
        return None
    folder = ModelFolder(found[0], repository)
    if _has_exemplar_encoder(folder):
        return "exemplar"
    return _of_unet(folder.config("unet")) if folder.has("unet") else None


def _has_exemplar_encoder(folder: ModelFolder) -> bool:
    return folder.index().get("_class_name") == "PaintByExamplePipeline" or (
        folder.has("image_encoder") and not folder.has("text_encoder")
    )


def _of_unet(config: Config) -> Purpose:
    takes, gives = config.get("in_channels", 4), config.get("out_channels", 4)
    return "inpaint" if isinstance(takes, int) and isinstance(gives, int) and takes == 2 * gives + 1 else "text"
