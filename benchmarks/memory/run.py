"""What runs take on a device without values: peaks at Stable Diffusion 1.5's shape, and bytes of streamed weights.

    python benchmarks/memory/run.py [--steps 2] [--json]

No GPU, no download, no weights: see graph_runtime/core/memory/without_values.py. The results are the same on every
machine; docs/results/memory.md has them and says what is not counted.
"""

import argparse
import json
from collections.abc import Sequence

from inlay.benchmarks.gpu.shapes import SD15
from inlay.benchmarks.memory.shapes import WIDE, group_offload_bytes, null_space, on_the_host, streamed_bytes, tuned

GB = 10**9
LIMITS = {512: 3 * GB, 1024: None, 2048: 6 * GB}  # pixels: bytes


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a limit is exceeded."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks/memory/run.py"
    )
    parser.add_argument("--steps", type=int, default=2, help="steps of denoising; all take the same")
    parser.add_argument("--json", action="store_true", help="one object on stdout")
    options = parser.parse_args(arguments)
    peaks = {
        side: {one.name: one.peak for one in null_space(SD15, side, options.steps, limit)}
        for side, limit in LIMITS.items()
    }
    config = {**SD15.unet, "block_out_channels": WIDE}
    whole = sum(value.nbytes for value in on_the_host(config).parameters())
    beside = 160 * 10**6  # what an evaluation at 512² takes beside weights, and a little
    ours = streamed_bytes(config, 4 * GB - beside, 64)
    theirs = {level: group_offload_bytes(config, level, 64) for level in ("block_level", "leaf_level")}
    found = {
        "null_space_peak": peaks,
        "model_bytes": whole,
        "streamed": {one.name: {"peak": one.peak, "moved": one.moved} for one in ours},
        "group_offload_moved": theirs,
        "tuned": {room: tuned(SD15.unet, room, 64)._asdict() for room in (2 * GB, 700 * 10**6)},
    }
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        _print(peaks, whole, found["streamed"], theirs)
        for room, one in found["tuned"].items():
            peak, moved = f"{one['peak'] / GB:.2f} GB", f"{one['moved'] / GB:.2f} GB"
            print(f"\nWith a gradient, {room / GB} GB for weights: peak {peak}, {moved} moved")
    late = ours[-1].moved > min(theirs.values()) or ours[-1].peak > 4 * GB
    return int(late)


def _print(peaks: dict, whole: int, ours: dict, theirs: dict) -> None:
    print("| picture | " + " | ".join(next(iter(peaks.values()))) + " |\n|---|" + "---|" * 4)
    for side, found in peaks.items():
        print(f"| {side}² | " + " | ".join(f"{value / GB:.2f} GB" for value in found.values()) + " |")
    print(f"\nA UNet of {whole / GB:.2f} GB on a device of 4 GB, bytes to the device:\n")
    print("| | before | first evaluation | each after |\n|---|---|---|---|")
    moved = [f"{ours[name]['moved'] / GB:.2f} GB" for name in ("before", "first", "second")]
    print("| inlay | " + " | ".join(moved) + " |")
    for level, value in theirs.items():
        print(f"| diffusers, {level.replace('_', ' ')} | 0 | {value / GB:.2f} GB | {value / GB:.2f} GB |")


if __name__ == "__main__":
    raise SystemExit(main())
