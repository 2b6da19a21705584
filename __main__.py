"""`python -m inlay` and the `inlay` command: Ctrl-C is handled from the start."""

import sys


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        from .graph_runtime.front.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        print("inlay: cancelled", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
