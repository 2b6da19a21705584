"""Every shipped workflow on a GPU, in each precision, against the same on the CPU in float32."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inlay
import numpy as np
from inlay.benchmarks.gpu.jobs import failed
from inlay.graph_runtime.front.installed import shipped_samples, shipped_workflows
from PIL import Image

DTYPES = ("auto", "float32", "float16", "bfloat16")
STEPS = 10  # of a sampling, so that the CPU's picture is there in time
TRAININGS = {
    "train_exemplar": {"steps": 4, "batch_size": 2, "variations": 1},
    "subject_lora_train": {"epochs": 1, "batch_size": 50, "variations": 1},
}
LATE = ("compare_editors", *TRAININGS)  # the dear ones: what has no time left is of these


@dataclass
class Compared:
    """One workflow in one precision.

    Attributes:
        workflow: its name.
        dtype: of all its models.
        seconds: that it took on the device, models loaded anew.
        psnr: of its picture against the CPU's in float32, dB; None for a training.
        outside: largest difference from the input outside the mask, 8-bit levels; None where nothing is pasted back.
        note: what went wrong, or what was left out.
        same: whether a second run gives the same pixels; None where there was none.
    """

    workflow: str
    dtype: str
    seconds: float = 0.0
    psnr: float | None = None
    outside: int | None = None
    note: str = ""
    same: bool | None = None


def compare_all(
    device: str,
    out: Path,
    left: Callable[[], float],
    names: Mapping[str, tuple[str, ...]] | None = None,
    steps: int = STEPS,
) -> list[Compared]:
    """Every workflow in every precision, as long as there is time; `names` picks some, with their precisions."""
    every = sorted(shipped_workflows(), key=lambda name: (name in LATE, name))
    wanted = names or dict.fromkeys(every, DTYPES)
    found: list[Compared] = []
    for name, dtypes in wanted.items():
        if left() <= 0:
            found += [Compared(name, dtype, note="not run: no time left") for dtype in dtypes]
            continue
        reference = None if name in TRAININGS else _run(name, "cpu", "float32", out / "cpu", steps)
        if reference is not None and reference.note:
            found.append(reference)
            continue
        for dtype in dtypes:
            if left() <= 0:
                found.append(Compared(name, dtype, note="not run: no time left"))
                continue
            found.append(_run(name, device, dtype, out / dtype, steps))
            if reference is not None and not found[-1].note:
                found[-1].psnr = _psnr(_picture(out / dtype, name), _picture(out / "cpu", name))
                if dtype == dtypes[0] and left() > 0:
                    _repeat(found[-1], device, out, steps)
    return found


def _repeat(row: Compared, device: str, out: Path, steps: int) -> None:
    """Run it once more, and say whether the picture is the same: each pixel, on the same device."""
    again = _run(row.workflow, device, row.dtype, out / "again", steps)
    row.note = again.note
    if not again.note:
        row.same = bool((_picture(out / "again", row.workflow) == _picture(out / row.dtype, row.workflow)).all())


def _run(name: str, device: str, dtype: str, out: Path, steps: int) -> Compared:
    """One run; a failure is a note."""
    flow = json.loads(shipped_workflows()[name].read_text(encoding="utf-8"))
    models = {
        f"{node}.dtype": dtype
        for node, value in flow["nodes"].items()
        if value["type"] in ("model.stable_diffusion", "model.paint_by_example")
    }
    values: dict[str, Any] = dict(TRAININGS.get(name, {}))
    if name in TRAININGS:
        models["train.sample_every"] = 3
    elif "steps" in flow["inputs"]:
        values["steps"] = steps
    made = Compared(name, dtype)
    began = time.perf_counter()
    try:
        result = inlay.run(name, out=out / name, device=device, cache=False, set=models, **values)
    except Exception as error:  # noqa: BLE001 - the table says so; the other workflows still run
        problem = getattr(error, "problem", None)
        made.note = f"failed: {problem.found} (in {problem.node})"[:200] if problem else failed(error)
        return made
    made.seconds = time.perf_counter() - began
    if name not in TRAININGS:
        made.outside = _outside(flow, _picture(out, name))
    elif "nan" in json.dumps(result["report"]).lower():
        made.note = "the report holds NaN"
    return made


def _picture(out: Path, name: str) -> np.ndarray[Any, Any]:
    """The last picture that a workflow saved."""
    with Image.open(max((out / name).glob("*.png"))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def _psnr(picture: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> float:
    """dB, of 8-bit levels; infinite where they are equal."""
    if picture.shape != reference.shape:
        return math.nan
    error = float(np.square(picture - reference).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _outside(flow: Mapping[str, Any], picture: np.ndarray[Any, Any]) -> int | None:
    """Largest change outside the mask, where the workflow pastes its result back into its input."""
    nodes = flow["nodes"].values()
    if not any(node["type"] == "image.paste_back" for node in nodes):
        return None
    samples = shipped_samples()
    paths = {
        kind: next(node["params"]["path"] for node in nodes if node["type"] == kind)
        for kind in ("image.load", "mask.load")
    }
    with Image.open(samples[paths["image.load"]]) as before, Image.open(samples[paths["mask.load"]]) as mask:
        known = np.asarray(mask.convert("L")) < 128
        return int(np.abs(picture - np.asarray(before.convert("RGB")).astype(int))[known].max())
