"""Saved pictures whose record was forged, and lists of boxes; both come with workflows that read them."""

import hashlib
import io
import json
from dataclasses import dataclass

from . import graphs, json_trees, odd_values, picture_cases, pieces, templates
from .case import Case, random_of
from .workflow_cases import mutate
from .world import small_picture

_NAMES = (
    "a.png",
    "../secret/s.png",
    "door/s.png",
    "link.png",
    "pipe.png",
    "/etc/passwd",
    "..",
    "x" * 300,
    "sub",
    "*.png",
)


def _record(rng):
    flow = graphs.grow(rng, light=True, tame=True)
    files = {}
    for node, entry in flow["nodes"].items():
        for name in graphs.node_types()[entry["type"]].path_roles:
            value = entry.get("params", {}).get(name)
            there = templates.FOLDER / "static" / str(value)
            if value in ("a.png", "b.jpg", "sub/c.png", "mask.png", "latent.safetensors"):
                content = there.read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                files[f"{node}.{name}"] = {
                    "name": there.name,
                    "digest": digest,
                    "kind": "file",
                    "size": str(len(content)),
                }
    return {"workflow": flow, "files": files, "made_with": {"inlay": "0.1.0"}}


def _forged(tree, rng):
    """Names and digests of files that the picture has no business with."""
    entries = [entry for entry in tree["files"].values() if isinstance(entry, dict)]
    if not entries or rng.random() < 0.2:
        node = rng.choice(list(tree["workflow"]["nodes"]) or ["x"])
        entries = [tree["files"].setdefault(f"{node}.path", {"name": "a.png", "digest": "0" * 64})]
    entry = rng.choice(entries)
    key = rng.choice(("name", "digest", "kind", "size"))
    secret = (templates.FOLDER / "static" / "a.png").read_bytes()
    digests = (
        hashlib.sha256(secret).hexdigest(),
        "0" * 64,
        "folder:" + "0" * 64,
        "list:" + "0" * 64,
        "files:" + "0" * 64,
        "",
        "x",
    )
    choices = {
        "name": _NAMES,
        "digest": digests,
        "kind": ("file", "files", "model", "x"),
        "size": ("0", "-1", str(len(secret)), "x"),
    }
    entry[key] = rng.choice(choices[key]) if rng.random() < 0.9 else odd_values.value(rng)


def _picture(format, text):
    from PIL import Image, PngImagePlugin

    file, image = io.BytesIO(), small_picture(side=7)
    if format == "png":
        chunk = PngImagePlugin.PngInfo()
        chunk.add(b"tEXt", b"inlay\0" + text)
        image.save(file, "PNG", pnginfo=chunk)
    else:
        exif = Image.Exif()
        exif[270] = text.decode("utf-8", "replace")[:60_000]
        image.save(file, {"jpg": "JPEG", "webp": "WEBP"}[format], exif=exif.tobytes())
    return file.getvalue()


@dataclass(frozen=True)
class Records:
    """A picture that carries a workflow: checked and run."""

    name: str = "record"
    share: int = 2
    needs: tuple[str, ...] = ()

    @property
    def mutations(self):
        trees = dict.fromkeys(json_trees.TREE, 10) | dict.fromkeys(json_trees.TEXT, 4)
        return trees | {"forged": 160, "huge": 1} | {f"piece {name}": 8 for name in pieces.CHANGES}

    def build(self, plan):
        rng = random_of(plan.base)
        tree, format = _record(rng), rng.choice(("png", "png", "jpg", "webp"))
        for name, seed in plan.mutations:
            if name == "forged":
                _forged(tree, random_of(seed))
        text = mutate(tree, [one for one in plan.mutations if one[0] != "forged" and not one[0].startswith("piece ")])
        data = _picture(format, text)
        for name, seed in plan.mutations:
            if name.startswith("piece "):
                change = random_of(seed)
                data = pieces.changed(data, format, name[6:], change, picture_cases._evil(format, change))
        name = f"r.{format}"
        return Case(rng.choice(("check", "run", "run")), name, files={name: data}, tame=True)


_ROWS = (
    b"c.png,1,1,6,6,dog\n",
    b"../../secret/s.png,0,0,4,4,dog\n",
    b"c.png,nan,inf,1e999,-1,\n",
    b"c.png,1,1\n",
    b",,,,,\n",
)
_ROWS += (b'"c.png,1,1,6,6,dog\n', b"c.png;1;1;6;6;dog\n", b"\0,1,1,2,2,x\n", b"c.png,0,0,99999999999999999999,1,x\n")


@dataclass(frozen=True)
class Boxes:
    """Lists of boxes, as CSV and as COCO's JSON."""

    name: str = "boxes"
    share: int = 1
    needs: tuple[str, ...] = ()

    @property
    def mutations(self):
        return dict.fromkeys(json_trees.TREE, 8) | dict.fromkeys(json_trees.TEXT, 8) | {"row": 20, "many": 1}

    def build(self, plan):
        rng = random_of(plan.base)
        csv = rng.random() < 0.5
        if csv:
            data = b"file,left,top,right,bottom,label\n" + _ROWS[0] + b"d.png,0,2,14,15,cat\n"
            for name, seed in plan.mutations:
                change = random_of(seed)
                if name in json_trees.TEXT:
                    data = json_trees.TEXT[name](data, change)
                elif name == "many":
                    data += change.choice(_ROWS) * 200_000
                else:
                    data += change.choice(_ROWS)
        else:
            tree = {
                "images": [{"id": 1, "file_name": "c.png", "width": 16, "height": 16}, {"id": 2, "file_name": "d.png"}],
                "annotations": [
                    {"id": 1, "image_id": 1, "bbox": [1, 1, 5, 5], "category_id": 1},
                    {"image_id": 2, "bbox": [0, 0, 9, 9]},
                ],
                "categories": [{"id": 1, "name": "dog"}],
            }
            data = mutate(tree, [one for one in plan.mutations if one[0] != "row"])
        name = "list.csv" if csv else "list.json"
        label = rng.choice((None, None, "dog"))
        params = {"path": rng.choice(("sub", "sub/*.png")), "boxes": name, "label": label}
        flow = {
            "format": 1,
            "nodes": {"s": {"type": "subject.photos", "params": params}},
            "outputs": {"overview": "s.overview"},
        }
        return Case("run", "w.json", files={name: data, "w.json": json.dumps(flow).encode()}, tame=True)


TARGETS = (Records(), Boxes())
