"""`python -m inlay` and the `inlay` command: Ctrl-C is handled from the start."""

import gc
import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        from .graph_runtime.front.cli.main import main as run

        try:
            return run()
        finally:
            gc.freeze()  # the process ends: its last collections need not look at what it holds
    except KeyboardInterrupt:
        print("inlay: cancelled", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
