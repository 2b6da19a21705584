"""What a check passes never fails in a run for a reason that settings, headers and wiring give away: random graphs."""

import random
import re

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime.front.installed import installed_nodes
from inlay.graph_runtime.front.node_settings import settings_of
from PIL import Image
from safetensors.torch import save_file

#: Left out: what trains, which takes long, and what asks models that are not embedded.
LEFT_OUT = re.compile(r"train\.|subject\.|caption\.|metric\.(lpips|fid|dino)|model\.")
# Only values tell of these.
RUN_TIME = re.compile(r"NaN|infinite|diverges|an empty mask|mask is empty|no window in it|^in (the )?picture")
UNSIZED = {"report.table": {"image"}}  # its size hangs on the numbers in it
SMALL = {
    "steps": 2,
    "size": 96,
    "count": 2,
    "batch": 2,
    "iterations": 1,
    "pixels": 6,
    "feather": 4,
    "multiple": 16,
    "dilate": 2,
    "pad": 8,
    "travel_length": 2,
    "travel_repeat": 2,
    "start_layer": 3,
    "start_step": 2,
    "points": 9,
    "longest": 4,
    "columns": 3,
    "digits": 20,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures and masks of several sizes and modes, some of them useless."""
    root = tmp_path_factory.mktemp("files")
    draws = np.random.default_rng(0)
    for name, mode, size in (
        ("rgb", "RGB", (64, 48)),
        ("rgba", "RGBA", (64, 48)),
        ("grey", "L", (63, 40)),
        ("tiny", "RGB", (8, 8)),
        ("long", "RGB", (120, 16)),
    ):
        shape = (size[1], size[0], len(mode)) if mode != "L" else (size[1], size[0])
        Image.fromarray(draws.integers(0, 255, shape, dtype=np.uint8)).convert(mode).save(root / f"{name}.png")
    (root / "two").mkdir()
    for number in (1, 2):
        Image.open(root / "rgb.png").save(root / "two" / f"{number}.png")
    for name, size, box in (
        ("hole", (64, 48), (16, 8, 40, 32)),
        ("odd", (63, 40), (3, 3, 20, 21)),
        ("black", (64, 48), None),
        ("small", (8, 8), (2, 2, 6, 6)),
    ):
        mask = Image.new("L", size)
        if box is not None:
            mask.paste(255, box)
        mask.save(root / f"{name}.png")
    Image.new("L", (64, 48), 255).save(root / "white.png")
    for name, shape, kind in (
        ("half", (1, 4, 6, 8), torch.float16),
        ("other", (2, 4, 5, 8), torch.float32),
        ("deep", (1, 8, 6, 8), torch.float64),
    ):
        values = torch.from_numpy(draws.standard_normal(shape)).to(kind)
        steps = torch.from_numpy(draws.standard_normal((2, *shape))).to(kind)
        save_file({"latent": values, "z_T": values.clone(), "noises": steps}, str(root / f"{name}.safetensors"))
    return root


class Grower:
    """Adds random nodes to a graph; every wire fits by its type, nothing else is looked at."""

    def __init__(self, seed, files):
        self.random, self.files = random.Random(seed), files
        self.nodes, self.given = {}, {}
        for name in ("rgb", "rgba", "grey", "tiny", "long", "two"):
            if self.random.random() < (0.9 if name == "rgb" else 0.25):
                self.add("image.load", {"path": str(files / ("two" if name == "two" else f"{name}.png"))})
        for name in ("hole", "odd", "black", "small", "white"):
            if self.random.random() < (0.9 if name == "hole" else 0.15):
                self.add("mask.load", {"path": str(files / f"{name}.png")})
        for name in ("half", "other", "deep"):
            for kind in ("latent.load", "noise.load"):
                if self.random.random() < 0.15:
                    self.add(kind, {"path": str(files / f"{name}.safetensors")})
        for kind in ("model.clip", "model.detector", "model.exemplar_encoder"):
            if self.random.random() < 0.2:
                self.add(kind, {"width": 160} if kind == "model.exemplar_encoder" else {})
        self.add("model.stable_diffusion", {})
        if self.random.random() < 0.3:
            self.add("model.paint_by_example", {})
        if self.random.random() < 0.7:
            self.add("schedule.ddim", {"steps": 2, "eta": 0.0}, {"scheduler": "n_model.scheduler"})

    def add(self, kind, params, inputs=None):
        name = "n_model" if kind == "model.stable_diffusion" else f"n{len(self.nodes)}"
        self.nodes[name] = {
            "type": kind,
            "version": installed_nodes()[kind].version,
            "params": params,
            "inputs": inputs or {},
        }
        for output, port in installed_nodes()[kind].outputs.items():
            if output not in UNSIZED.get(kind, ()) and not params.get("times"):
                self.given.setdefault(port.socket, []).append(f"{name}.{output}")

    def grow(self, kind):
        spec, inputs = installed_nodes()[kind], {}
        for name, socket in spec.sockets.items():
            there = self.given.get(socket.port.socket, [])
            if not there and not socket.optional:
                return False
            if there and (not socket.optional or self.random.random() < 0.35):
                inputs[name] = self.random.choice(there[-6:])
        self.add(
            kind,
            {setting.name: value for setting in settings_of(spec) if (value := self.value(setting)) is not None},
            inputs,
        )
        return True

    def value(self, setting):
        """A value that the setting takes; None leaves it as it is."""
        if setting.kind == "integer":
            low = int(setting.minimum if setting.minimum is not None else 0)
            high = min(setting.maximum if setting.maximum is not None else 64, SMALL.get(setting.name, 64))
            if setting.name in SMALL or self.random.random() < 0.4:
                return self.random.randint(low, max(low, int(high)))
        if self.random.random() < 0.6:
            return None
        if setting.kind == "choice":
            return self.random.choice(setting.choices)
        if setting.kind == "boolean":
            return self.random.random() < 0.5
        if setting.kind == "number":
            low = setting.minimum if setting.minimum is not None else setting.above or 0
            high = min(setting.maximum if setting.maximum is not None else 60, 60)
            return round(self.random.uniform(low + 0.01, max(low + 0.02, high)), 2)
        return None

    def workflow(self, size):
        kinds = [kind for kind in installed_nodes() if not LEFT_OUT.match(kind) and not kind.endswith(".load")]
        for _ in range(size):
            self.grow(self.random.choice(kinds))
        ends = [
            f"{name}.{output}"
            for name, entry in list(self.nodes.items())[-4:]
            for output in installed_nodes()[entry["type"]].outputs
        ]
        return {"format": 1, "nodes": self.nodes, "outputs": {f"o{number}": link for number, link in enumerate(ends)}}


def outcome(seed, files, out):
    """`refused`, `done` or `run time`; fails where the check should have known."""
    raw = Grower(seed, files).workflow(size=random.Random(seed).randint(2, 9))
    if inlay.check(raw, out=out):
        return "refused"
    try:
        inlay.run(raw, out=out, cache=False)
    except inlay.NodeError as error:
        if RUN_TIME.search(error.problem.found):
            return "run time"
        kind = raw["nodes"][error.problem.node]
        pytest.fail(f"seed {seed}: {error.problem}\n{kind}")
    return "done"


@pytest.mark.parametrize("seeds", [range(50), range(50, 100)], ids=str)
def test_what_is_checked_runs(files, tmp_path, seeds):
    found = [outcome(seed, files, tmp_path) for seed in seeds]
    assert found.count("done") >= 8, found


@pytest.mark.slow
def test_more_of_what_is_checked_runs(files, tmp_path):
    for seed in range(1000, 1600):
        outcome(seed, files, tmp_path)
