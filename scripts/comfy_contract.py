#!/usr/bin/env python3
"""tests/front/comfy/contract.json: what a real ComfyUI asks of the pack, and what it answers to questions about it.

    python scripts/comfy_contract.py http://127.0.0.1:8188     # adds or replaces the answers of that host's release

The host must have this folder in `custom_nodes/`, and should have an input folder of its own: a few small pictures are
uploaded. A test replays the questions against the code, without a host (tests/front/comfy/test_contract.py).
"""

import argparse
import hashlib
import io
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CONTRACT = Path(__file__).resolve().parents[1] / "tests" / "front" / "comfy" / "contract.json"
LISTS = ("image_upload", "takes_text")  # options of lists whose names depend on the machine
SECONDS = 60  # that a run may take
FOLDER = re.compile(r"below \S*[/\\]input\b")  # of the host


def pictures() -> dict[str, bytes]:
    """What is uploaded: a picture without transparency, one that is painted on, and a mask."""
    ramp = np.arange(48 * 32 * 3, dtype=np.uint32).reshape(48, 32, 3) * 7 % 256
    plain = ramp.astype(np.uint8)
    alpha = np.full((48, 32), 255, np.uint8)
    alpha[10:20, 5:25], alpha[20:24, 5:25] = 0, 90
    mask = np.where(alpha < 255, 255, 0).astype(np.uint8)
    made = {}
    for name, image in (("plain", plain), ("painted", np.dstack([plain, alpha])), ("mask", mask)):
        with io.BytesIO() as file:
            Image.fromarray(image).save(file, "PNG")
            made[f"contract-{name}.png"] = file.getvalue()
    return made


def node(kind: str, **inputs: object) -> dict[str, object]:
    """A node of a prompt."""
    return {"class_type": kind, "inputs": inputs}


def prompts() -> dict[str, dict[str, dict[str, object]]]:
    """What is asked, by what it is about."""
    save = node("InlayImageSave", image=["1", 0], prefix="contract", format="png", metadata=False, gps=False)
    painted, plain = "contract-painted.png", "contract-plain.png"
    fill = node("InlayImageFill", image=["1", 0], mask=["1", 1], fill="neutral", seed=0)
    shown = save | {"inputs": {**save["inputs"], "image": ["2", 0]}}  # type: ignore[dict-item]
    chain = {"1": node("InlayImageWithMask", image=painted), "2": fill, "3": shown}
    host_loader = {"1": node("LoadImage", image=plain), "2": fill, "3": shown}
    return {
        "what was painted arrives": chain,
        "as the mask editor writes a name": chain | {"1": node("InlayImageWithMask", image=f"{painted} [input]")},
        "the host's loader with a mask": host_loader | {"1": node("LoadImage", image=painted)},
        "the host's loader without a mask": host_loader,
        "a text into a path": {"0": node("PrimitiveString", value=plain), "1": node("InlayImageLoad", path=["0", 0])}
        | {"2": save},
        "a text into the loader": {
            "0": node("PrimitiveString", value=painted),
            "1": node("InlayImageWithMask", image=["0", 0]),
            "2": save,
        },
        "no such file": {"1": node("InlayImageWithMask", image="contract-painte.png"), "2": save},
        "out of the input folder": {"1": node("InlayImageWithMask", image="../secret.png"), "2": save},
        "a whole path": {"1": node("InlayImageLoad", path="/etc/hostname"), "2": save},
        "a mask from a file": {
            "1": node("InlayImageLoad", path=plain),
            "4": node("InlayMaskLoad", path="contract-mask.png", channel="auto", invert=False, threshold=0.5),
            "2": fill | {"inputs": {"image": ["1", 0], "mask": ["4", 0], "fill": "neutral", "seed": 0}},
            "3": shown,
        },
        "an image into a mask": chain | {"2": fill | {"inputs": {"image": ["1", 0], "mask": ["1", 0], "seed": 0}}},
        "a choice that is none": chain | {"2": fill | {"inputs": {**fill["inputs"], "fill": "blue"}}},  # type: ignore[dict-item]
        "nothing connected": {"1": chain["1"], "2": fill | {"inputs": {"image": ["1", 0], "seed": 0}}, "3": shown},
        "a prefix out of the output folder": chain | {"3": shown | {"inputs": {"image": ["2", 0], "prefix": "../x"}}},
    }


class Host:
    """A ComfyUI that listens."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def get(self, path: str) -> Any:
        """The answer to a GET, as JSON."""
        with urllib.request.urlopen(self.address + path) as answer:
            return json.load(answer)

    def post(self, path: str, value: object) -> tuple[int, Any]:
        """Status and answer of a POST of JSON."""
        body, kind = json.dumps(value).encode(), {"Content-Type": "application/json"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.address + path, body, kind)) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def upload(self, name: str, contents: bytes) -> None:
        """Put a picture into the input folder."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
        rest = f'\r\n--{edge}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{edge}--\r\n'
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        body = head.encode() + contents + rest.encode()
        urllib.request.urlopen(urllib.request.Request(self.address + "/upload/image", body, kind)).close()

    def pixels(self, image: dict[str, str]) -> str:
        """The digest of a picture that the host shows."""
        with urllib.request.urlopen(f"{self.address}/view?{urllib.parse.urlencode(image)}") as answer:
            return digest(answer.read())

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """What comes of a prompt: why it was refused, how it failed, or the pictures by node."""
        status, answer = self.post("/prompt", {"prompt": prompt})
        if status != 200 or answer.get("node_errors"):
            errors = {key: one["errors"] for key, one in answer["node_errors"].items()}
            return {"status": status, "errors": {key: [said(one) for one in found] for key, found in errors.items()}}
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            if found := self.get(f"/history/{answer['prompt_id']}"):
                return self._outcome(found[answer["prompt_id"]])
            time.sleep(0.1)
        raise TimeoutError(f"no answer in {SECONDS} s")

    def _outcome(self, entry: dict[str, Any]) -> dict[str, Any]:
        for kind, about in entry["status"]["messages"]:
            if kind == "execution_error":
                return {"status": 200, "failed": about["node_id"], "message": about["exception_message"].strip()}
        pictures = {
            key: [self.pixels(image) for image in output.get("images", [])] for key, output in entry["outputs"].items()
        }
        return {"status": 200, "pictures": pictures}


def said(error: dict[str, Any]) -> list[str]:
    """The kind of an error, and what it says."""
    return [error["type"], FOLDER.sub("below INPUT", error["details"])]


def digest(contents: bytes) -> str:
    """Of a picture's mode and pixels, whatever else its file says."""
    with Image.open(io.BytesIO(contents)) as picture:
        array = np.asarray(picture)
        return hashlib.sha256(f"{picture.mode}{array.shape}".encode() + array.tobytes()).hexdigest()[:16]


def about_node(answer: dict[str, Any]) -> dict[str, Any]:
    """What a graph relies on, of the host's description of a node: sockets and widgets in order, without their help."""
    inputs = {
        group: {name: about_input(entry) for name, entry in answer["input"].get(group, {}).items()}
        for group in ("required", "optional")
    }
    outputs = [list(pair) for pair in zip(answer["output_name"], answer["output"], strict=True)]
    return {"inputs": inputs, "outputs": outputs, "saves": answer["output_node"]}


def about_input(entry: list[Any]) -> list[Any]:
    """The type of an input and its options; names of files and models depend on the machine."""
    kind, *rest = entry
    options = dict(rest[0]) if rest else {}
    lists = isinstance(kind, list) and any(options.get(name) for name in LISTS)
    for name in ("tooltip", *(("default",) if lists else ())):
        options.pop(name, None)
    return ["LIST" if lists else kind, options]


def main() -> int:
    """Ask, and write down the answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host", help="its address, such as http://127.0.0.1:8188")
    host = Host(parser.parse_args().host)
    release = host.get("/system_stats")["system"]["comfyui_version"]
    for name, contents in pictures().items():
        host.upload(name, contents)
    nodes = {name: about_node(one) for name, one in host.get("/object_info").items() if name.startswith("Inlay")}
    answers = {about: host.run(prompt) for about, prompt in prompts().items()}
    templates = host.get("/workflow_templates").get("inlay", [])
    known = json.loads(CONTRACT.read_text("utf-8")) if CONTRACT.is_file() else {"nodes": {}, "hosts": {}}
    known["nodes"] = nodes
    known["hosts"][release] = {"templates": sorted(templates), "answers": answers}
    known["hosts"] = dict(sorted(known["hosts"].items()))
    CONTRACT.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(nodes.items()))
    hosts = json.dumps(known["hosts"], indent=1, ensure_ascii=False)
    CONTRACT.write_text(f'{{"nodes": {{\n{lines}\n}},\n"hosts": {hosts}}}\n', "utf-8")
    print(f"ComfyUI {release}: {len(nodes)} nodes, {len(answers)} prompts, {len(templates)} templates")
    return 0


if __name__ == "__main__":
    sys.exit(main())
