"""What keeping views encoded saves, and what making them ahead does: steps of train.subject_lora.

    python benchmarks/speed/subject.py            the embedded model and the sample photos, one thread of torch

Kept views against new ones in CPU seconds; new ones made ahead by another thread against each in its turn in seconds by
the clock, which only a machine with a core to spare shows. Medians over the steps of one run each.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.events import Event, NodeProgress
from inlay.nodes import model
from inlay.nodes.subject import photos
from inlay.nodes.train_subject import subject_lora
from inlay.training.prefetch import Ahead

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
BATCH = 16


def step_times(variations: int, steps: int, out: Path, clock: Callable[[], float] = time.process_time) -> list[float]:
    """Seconds of each step but the first."""
    marks: list[float] = []

    def listener(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.note.startswith("loss"):
            marks.append(clock())

    parts: Any = model.paint_by_example("dollhouse-exemplar")
    some = photos(str(WORKFLOWS / "subject"), Context(), masks=str(WORKFLOWS / "subject-masks")).photos
    views = 100 * len(some)
    subject_lora(
        parts.denoiser,
        parts.vae,
        parts.scheduler,
        parts.exemplar_encoder,
        some,
        Context(out=out, listeners=(listener,)),
        epochs=max(1, steps * BATCH // views),
        batch_size=BATCH,
        variations=variations,
        sample_every=0,
        learning_rate=1e-3,
        precision="float32",
    )
    return [after - before for before, after in pairwise(marks)]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=25)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        kept = step_times(4, args.steps, Path(folder) / "kept")
        fresh = step_times(0, args.steps, Path(folder) / "fresh")
    print(
        f"a step of {BATCH} views: {statistics.median(kept):.3f} s with kept views, {statistics.median(fresh):.3f} s "
        f"with new ones: {statistics.median(kept) / statistics.median(fresh):.0%} of it"
    )
    with tempfile.TemporaryDirectory() as folder:
        ahead = step_times(0, args.steps, Path(folder) / "ahead", time.perf_counter)
        with mock.patch.object(Ahead, "take", lambda self, key, later: self._make(key)):
            serial = step_times(0, args.steps, Path(folder) / "serial", time.perf_counter)
    print(
        f"steps a second with new views: {1 / statistics.median(ahead):.2f} made ahead, "
        f"{1 / statistics.median(serial):.2f} in turn"
    )


if __name__ == "__main__":
    main()
