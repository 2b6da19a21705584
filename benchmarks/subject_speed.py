"""What keeping views encoded saves: a step of train.subject_lora with kept views against one that makes its own.

    python benchmarks/subject_speed.py            the embedded model and the sample photos, CPU seconds of one thread

Medians over the steps of one run each, in turns.
"""

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from inlay.graph_runtime import Context
from inlay.graph_runtime.events import Event, NodeProgress
from inlay.nodes import model
from inlay.nodes.subject import photos
from inlay.nodes.train_subject import subject_lora

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
BATCH = 16


def step_times(variations: int, steps: int, out: Path) -> list[float]:
    """CPU seconds of each step but the first."""
    marks: list[float] = []

    def listener(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.note.startswith("loss"):
            marks.append(time.process_time())

    parts: Any = model.paint_by_example("dollhouse-exemplar")
    some = photos(str(WORKFLOWS / "subject"), Context(), masks=str(WORKFLOWS / "subject-masks")).photos
    views = 100 * len(some)
    subject_lora(parts.denoiser, parts.vae, parts.scheduler, parts.exemplar_encoder, some,
                 Context(out=out, listeners=(listener,)), epochs=max(1, steps * BATCH // views), batch_size=BATCH,
                 variations=variations, sample_every=0, learning_rate=1e-3, precision="float32")
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
    print(f"a step of {BATCH} views: {statistics.median(kept):.3f} s with kept views, {statistics.median(fresh):.3f} s "
          f"with new ones: {statistics.median(kept) / statistics.median(fresh):.0%} of it")


if __name__ == "__main__":
    main()
