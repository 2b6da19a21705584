"""What a command takes before it answers, beside importing torch: CPU seconds of fresh processes, in turn.

    python benchmarks/start/run.py [--runs 7] [--json]

CPU time is user and system time of the whole process. Bytecode is there, as after an installation: a first round, which
is not counted, writes it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile

INLAY = "import sys; from inlay.__main__ import main; sys.argv[0] = 'inlay'; sys.exit(main())"
LIBRARIES = "from diffusers import AutoencoderKL, UNet2DConditionModel; from transformers import CLIPTextModel"
JOBS = {
    "import torch": ["-c", "import torch"],
    "import torch, diffusers' and transformers' models": ["-c", LIBRARIES],
    "inlay nodes": ["-c", INLAY, "nodes"],
    "inlay nodes image.load": ["-c", INLAY, "nodes", "image.load"],
    "inlay run zero_shot_inpaint --help": ["-c", INLAY, "run", "zero_shot_inpaint", "--help"],
    "inlay check inpaint": ["-c", INLAY, "check", "inpaint"],
    "inlay check zero_shot_inpaint": ["-c", INLAY, "check", "zero_shot_inpaint"],
    "inlay check train_exemplar": ["-c", INLAY, "check", "train_exemplar"],
    "inlay check paint_by_example (a solver of diffusers)": ["-c", INLAY, "check", "paint_by_example"],
    "inlay run inpaint (patches), cold": ["-c", INLAY, "run", "inpaint", "--no-cache", "--quiet"],
    "inlay run zero_shot_inpaint, everything kept": ["-c", INLAY, "run", "zero_shot_inpaint", "--quiet"],
    "inlay run zero_shot_inpaint, cold": ["-c", INLAY, "run", "zero_shot_inpaint", "--no-cache", "--quiet"],
}


def cpu_seconds(words, folder):
    """User and system time of one process."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    env |= {"OMP_NUM_THREADS": "1", "INLAY_HOME": os.path.join(folder, "home"), "HF_HUB_OFFLINE": "1"}
    child = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words[2:])} failed")
    return usage.ru_utime + usage.ru_stime


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    job = parser.parse_args()
    took = {name: [] for name in JOBS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(job.runs + 1):
            for name, words in JOBS.items():
                seconds = cpu_seconds(words, folder)
                took[name] += [seconds] if number else []
    medians = {name: statistics.median(times) for name, times in took.items()}
    if job.json:
        print(json.dumps(medians))
        return
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, {job.runs} runs\n")
    print("| process | CPU s | of `import torch` |\n|---|---|---|")
    for name, seconds in medians.items():
        print(f"| {name} | {seconds:.2f} | {seconds / medians['import torch']:.2f} |")


if __name__ == "__main__":
    main()
