"""What keeping views encoded saves, and what making them ahead does: steps of train.subject_lora.

Kept views against new ones in CPU seconds. New views made ahead by another thread against views made in turn in seconds
by the clock; the difference shows only on a machine with a core to spare. Medians over the steps of one run each.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

from inlay.graph_runtime import Context
from inlay.graph_runtime.core.events import Event, NodeProgress
from inlay.nodes import model
from inlay.nodes.subject import photos
from inlay.nodes.train import subject_lora
from inlay.training.prefetch import Prefetcher

SAMPLES = Path(__file__).resolve().parents[2] / "workflows" / "exemplar"
BATCH = 16


def step_times(variations: int, steps: int, out: Path, clock: Callable[[], float] = time.process_time) -> list[float]:
    """Seconds of each step but the first."""
    marks: list[float] = []

    def listener(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.note.startswith("loss"):
            marks.append(clock())

    parts: Any = model.paint_by_example("dollhouse-exemplar")
    some = photos(str(SAMPLES / "subject"), Context(), masks=str(SAMPLES / "subject-masks")).photos
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


def measure(steps: int) -> None:
    """Time and print."""
    with tempfile.TemporaryDirectory() as folder:
        kept = step_times(4, steps, Path(folder) / "kept")
        fresh = step_times(0, steps, Path(folder) / "fresh")
    print(
        f"a step of {BATCH} views: {statistics.median(kept):.3f} s with kept views, {statistics.median(fresh):.3f} s "
        f"with new ones; that is {statistics.median(kept) / statistics.median(fresh):.0%}"
    )
    with tempfile.TemporaryDirectory() as folder:
        ahead = step_times(0, steps, Path(folder) / "ahead", time.perf_counter)
        with mock.patch.object(Prefetcher, "take", lambda self, key, later: self._make(key)):
            serial = step_times(0, steps, Path(folder) / "serial", time.perf_counter)
    print(
        f"steps a second with new views: {1 / statistics.median(ahead):.2f} made ahead, "
        f"{1 / statistics.median(serial):.2f} in turn"
    )
