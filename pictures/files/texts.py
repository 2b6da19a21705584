"""Texts inside picture files: decides which are saved again and which are left out.

Left out are prompts and graphs of other programs, our own record, thumbnails (they show the old picture), and XMP and
IPTC, which may repeat a place or a history. Each is named in a note.
"""

import re

from PIL import Image as Pil

RECALL_NAMES = frozenset(
    {
        "workflow",
        "prompt",
        "parameters",
        "inlay",
        "negative_prompt",
        "extras",
        "postprocessing",
        "generation_data",
        "dream",
        "sd-metadata",
        "fooocus_scheme",
        "invokeai_metadata",
        "invokeai_graph",
        "invokeai_workflow",
        "seed",
        "sampler",
        "sampler_name",
        "cfg_scale",
        "guidance_scale",
        "num_inference_steps",
    }
)
SETTINGS = re.compile(r"\bSteps: \d+\s*?[,\n]")
SETTING = re.compile(r"\b(Sampler|CFG scale|Seed): ")
GRAPH = re.compile(r"""^\s*(\w+\s*:\s*)?[\[{]\s*["'{\[]""")
PLACE = re.compile(r"gps|latitude|longitude|geo[-_ ]?(tag|location|data)|^location$", re.IGNORECASE)
LONGEST_TEXT = 65_536  # characters
BLOCKS = {  # names of texts that hold another format's metadata
    "xml:com.adobe.xmp": "XMP",
    "raw profile type xmp": "XMP",
    "raw profile type iptc": "IPTC",
    "raw profile type 8bim": "IPTC",
}
PLACE_OMITTED = "where it was taken (gps=true keeps it)"
OWN_RECORD = '{"workflow":'
RECALL = "another program's record of its work (prompt, graph, settings)"


def is_recall(name: str, text: str) -> bool:
    """True for a text in which a program records how it made the picture: by its name, or as JSON or settings.

    Null characters and byte order marks are ignored, so that UTF-16 is recognised in either byte order.
    """
    text = text.replace("\0", "").lstrip("\ufeff\ufffd")
    is_known = name.strip().lower().replace(" ", "_") in RECALL_NAMES
    if is_known or GRAPH.match(text):
        return True
    steps = SETTINGS.search(text)  # one pattern for both would take time that grows with the square of the text
    return steps is not None and SETTING.search(text, steps.end()) is not None


def is_place(name: str) -> bool:
    """True for the name of a text about where a picture was taken."""
    return bool(PLACE.search(name))


def texts_of(picture: Pil.Image) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """(name, text) of the texts that are kept, and the names of omitted parts; `picture` is loaded."""
    found: dict[str, str] = dict(getattr(picture, "text", None) or {}) if picture.format == "PNG" else {}
    if isinstance(comment := picture.info.get("comment"), (bytes, str)) and picture.format in ("JPEG", "MPO", "GIF"):
        found["Comment"] = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else comment
    kept: list[tuple[str, str]] = []
    omitted: list[str] = []
    for name, text in found.items():
        low = name.lower()
        if low in BLOCKS:
            omitted.append(BLOCKS[low])
        elif low.startswith("exif:"):  # repeats the place and the old orientation
            omitted.append("ImageMagick's copy of its EXIF data")
        elif low.startswith("raw profile type") and low.split()[-1] not in ("exif", "icc", "icm"):
            omitted.append(f"the block {name[17:57]}")
        elif low == "inlay" or low.startswith("raw profile type"):
            continue  # our own record, or EXIF and ICC in ImageMagick's older form, which Pillow reads
        elif is_recall(name, str(text)):
            omitted.append(f"{RECALL} ({name})")
        elif len(text) > LONGEST_TEXT:
            omitted.append(f"the text {name[:40]!r} of {len(text)} characters")
        elif text:
            kept.append((name, text))  # an iTXt chunk keeps its language
    if picture.info.get("xmp"):
        omitted.append("XMP")
    if picture.info.get("photoshop"):
        omitted.append("IPTC")
    return tuple(kept), list(dict.fromkeys(omitted))
