"""Fuzz inlay's public doors with files as a stranger would send them; CONTRIBUTING.md.

    python scripts/fuzz.py --seconds 60 --seed 0             the same cases every time
    python scripts/fuzz.py --cases 100000 --workers 1        so many, shared among all targets
    python scripts/fuzz.py --target picture --number 17      one case again: prints it and its result
    python scripts/fuzz.py --corpus                          every file of the corpus

Exit status: 0 nothing found, 1 findings (each is shrunk and written to --save).
"""

import os
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
    runpy.run_module("fuzzing", run_name="__main__", alter_sys=True)
