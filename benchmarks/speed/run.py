"""What inlay costs compared with a baseline that does the same job on the same weights.

    python benchmarks/speed/run.py edit                  a BARET edit, embedded model, against three naive branches
    python benchmarks/speed/run.py edit --size sd15      the same for a UNet of SD 1.5's shape, random weights
    python benchmarks/speed/run.py memory                peak of the activations at that size, a process each
    python benchmarks/speed/run.py tuning                target-text inversion against null-text inversion
    python benchmarks/speed/run.py again                 a second edit of the same picture against the first
    python benchmarks/speed/run.py example               Paint by Example against diffusers' pipeline, embedded model
    python benchmarks/speed/run.py example --size sd15   the collapsed cross-attention in a UNet of SD 1.5's shape
    python benchmarks/speed/run.py profile               a zero-shot run with --profile against one without
    python benchmarks/speed/run.py denoiser              channels-last weights and torch.compile against neither
    python benchmarks/speed/run.py shapes                channels-last weights in larger UNets, float32 and bfloat16
    python benchmarks/speed/run.py caches                steps that reuse an earlier one: time, and fills of 12 scenes
    python benchmarks/speed/run.py variations            variations in one batch against one after the other
    python benchmarks/speed/run.py subject               a LoRA's training step: views kept encoded, or made anew

One thread; CPU seconds unless the output says otherwise. Inlay and the baseline take turns. Printed are medians and the
range of the pairs' ratios.
"""

import argparse


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = top.add_subparsers(dest="job", required=True, metavar="JOB")
    for name in (
        "edit",
        "memory",
        "tuning",
        "again",
        "example",
        "subject",
        "profile",
        "denoiser",
        "shapes",
        "caches",
        "variations",
    ):
        job = jobs.add_parser(name)
        if name in ("edit", "example"):
            job.add_argument("--size", choices=("dollhouse", "sd15"), default="dollhouse")
        if name in ("edit", "tuning", "example", "profile", "denoiser", "shapes", "variations"):
            job.add_argument("--rounds", type=int, default=3 if name in ("edit", "tuning") else 7)
        if name == "memory":
            job.add_argument("--way", choices=("ours", "sdpa", "maps"), help=argparse.SUPPRESS)
        if name == "example":
            job.add_argument("--guidance", type=float, default=5.0)
        if name in ("example", "subject"):
            job.add_argument("--steps", type=int, default=50 if name == "example" else 25)
    return top


def main() -> None:
    """Run the job that was named."""
    options = parser().parse_args()
    import torch

    torch.set_num_threads(1)
    if options.job == "example":
        from inlay.benchmarks.speed import example

        if options.size == "sd15":
            example.collapse_gain(options.rounds)
        else:
            example.measure(options.steps, options.guidance, options.rounds)
    elif options.job == "subject":
        from inlay.benchmarks.speed import subject

        subject.measure(options.steps)
    elif options.job in ("denoiser", "shapes", "variations"):
        from inlay.benchmarks.speed import denoiser

        {"denoiser": denoiser.ways, "shapes": denoiser.shapes, "variations": denoiser.variations}[options.job](
            options.rounds
        )
    elif options.job == "caches":
        from inlay.benchmarks.speed import caches

        caches.evaluations(7)
        caches.measure()
        caches.which_apply()
    elif options.job == "profile":
        from inlay.benchmarks.speed import profiled

        profiled.measure(options.rounds)
    elif options.job == "memory":
        from inlay.benchmarks.speed import editing

        editing.memory_of(options.way) if options.way else editing.memory()
    else:
        from inlay.benchmarks.speed import editing

        if options.job == "again":
            editing.again()
        elif options.job == "tuning":
            editing.tuning(options.rounds)
        elif options.size == "sd15":
            editing.edit_sd15(options.rounds)
        else:
            editing.edit_dollhouse(options.rounds)


if __name__ == "__main__":
    main()
