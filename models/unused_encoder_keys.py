"""One warning for each encoder, when it is described, for everything in its configurations that has no effect."""

from collections.abc import Mapping, Sequence

from .blip import CaptionerComponent
from .clip import ClipComponent
from .component import is_single_file
from .dino import DinoComponent
from .encoder_configs import section
from .image_encoder import ImageEncoderComponent
from .known_keys.encoders import BLIP, BLIP_TEXT, BLIP_VISION, CLIP, DINOV2, TEXT, VISION, VIT
from .known_keys.table import Table, list_unused, warn_unused
from .protocols import TextEncoderDescription
from .tokens.unused import unused_beside_settings, unused_of_tokenizer

#: Parts of the configurations of models that consist of two.
PARTS: Mapping[type[ImageEncoderComponent], tuple[Table, Mapping[str, Table]]] = {
    ClipComponent: (CLIP, {"text_config": TEXT, "vision_config": VISION}),
    CaptionerComponent: (BLIP, {"text_config": BLIP_TEXT, "vision_config": BLIP_VISION}),
}


def warn_unused_of_encoder(encoder: ImageEncoderComponent) -> None:
    """Warn about keys that nothing uses in the configuration of an encoder of pictures, and of its tokenizer."""
    config = encoder.config
    if type(encoder) in PARTS:
        whole, parts = PARTS[type(encoder)]
        found = list_unused(whole, config)
        for name, table in parts.items():
            found += [f"{name}: {phrase}" for phrase in list_unused(table, section(config, name))]
    elif isinstance(encoder, DinoComponent):
        found = list_unused(VIT if encoder.kind == "vit" else DINOV2, config)
    else:
        whole = CLIP if "vision_config" in config else VISION
        vision = section(config, "vision_config", alone=True)
        found = [*list_unused(VISION, vision), *(list_unused(whole, config) if vision is not config else ())]
    if isinstance(encoder, ClipComponent):
        found += _of_tokenizer(unused_of_tokenizer(encoder.origin.tokenizer_folder(), "clip"))
    if isinstance(encoder, CaptionerComponent):
        found += _of_tokenizer(unused_of_tokenizer(encoder.folder, "bert"))
    warn_unused(encoder.origin.name, found)


def warn_unused_of_reader(encoder: TextEncoderDescription) -> None:
    """Warn about keys that nothing uses beside the configuration of a text encoder's tokenizer."""
    if not is_single_file(encoder.origin):
        found = unused_beside_settings(encoder.origin.tokenizer_folder(), "clip")
        warn_unused(encoder.origin.name, _of_tokenizer(found))


def _of_tokenizer(phrases: Sequence[str]) -> list[str]:
    return [f"tokenizer: {phrase}" for phrase in phrases]
