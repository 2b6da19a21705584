"""A workflow on the simulated GPU, from its file to its picture, and what must hold of it there."""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import inlay
import numpy as np
from inlay.graph_runtime.core.events import NodeProgress
from inlay.graph_runtime.front import kept_between_runs
from inlay.graph_runtime.front.installed import installed_nodes
from inlay.graph_runtime.front.python.load_workflow import load
from PIL import Image
from simulated_gpu import SimulatedGpu, where

LOOPS = ("sample.denoise", "invert.ddim", "invert.target_text", "invert.null_text")


@dataclass
class Rehearsed:
    """What a run on the simulated GPU left behind.

    Attributes:
        result: of `inlay.run`.
        gpu: the mode, with what it counted.
        waits: by node and type, how often the host waited in each step but the first.
    """

    result: Any
    gpu: SimulatedGpu
    waits: dict[tuple[str, str], list[int]] = field(default_factory=dict)


def rehearse(
    name: str,
    dtype: str,
    out: Path,
    *,
    gpu: SimulatedGpu | None = None,
    settings: dict[str, Any] | None = None,
    **inputs: Any,
) -> Rehearsed:
    """Run a shipped workflow on `cuda:0` with every model in `dtype`.

    Raises:
        AssertionError: devices were mixed.
    """
    loaded = load(name)
    loaded.set_values(inputs, settings or {})
    types = {node: entry.type for node, entry in loaded.workflow.nodes.items()}
    known = installed_nodes()
    dtypes = {f"{node}.dtype": dtype for node, kind in types.items() if "dtype" in known[kind].params.model_fields}
    marks: dict[str, list[int]] = {}
    with gpu or SimulatedGpu() as mode:

        def listen(event: Any) -> None:
            if isinstance(event, NodeProgress):
                marks.setdefault(event.node, []).append(len(mode.syncs))

        listen.shows_previews = False  # type: ignore[attr-defined] # a preview waits too, four times a second at most
        result = inlay.run(
            name,
            out=out,
            cache=False,
            device="cuda:0",
            listeners=[listen],
            set=dtypes | (settings or {}),
            **inputs,
        )
        held = [module for manager, _ in kept_between_runs._kept.values() for module in _modules(manager)]
        assert held
        assert all(parameter.device.type == "cuda" for module in held for parameter in module.parameters())
    assert not mode.mixes, where(mode.mixes)
    waits = {(node, types[node]): [after - before for before, after in pairwise(seen)] for node, seen in marks.items()}
    return Rehearsed(result, mode, waits)


def _modules(manager: Any) -> list[Any]:
    return [entry.module for entry in manager._resident.values() if hasattr(entry.module, "parameters")]


def assert_sound(run: Rehearsed, updates: int = 1, projections: int = 0) -> None:
    """A picture of more than one colour was saved, and loops wait once a step, tunings once an update.

    A projection onto known pixels takes the latent to the host and back, by way of the picture: five times.
    """
    for path in run.result.paths:
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("RGB")).std() > 1, path
    for (node, kind), waits in run.waits.items():
        if kind in LOOPS:
            most = updates if kind in LOOPS[2:] else 1
            calm, busy = sorted(waits)[: len(waits) - projections], sorted(waits)[len(waits) - projections :]
            assert max(busy, default=0) <= 5, f"{node}: {waits}\n{where(run.gpu.syncs)}"
            assert max(calm, default=0) <= most, f"{node}: {waits}\n{where(run.gpu.syncs)}"
