"""The file that a command writes where its user says."""

import argparse
import json
from pathlib import Path

from ...core.errors import WorkflowError, clean
from ...core.files import write_text


def write_output(options: argparse.Namespace, text: str) -> int:
    """Write a text to `--output`, say so, and return the exit status.

    Raises:
        WorkflowError: that file cannot be written.
    """
    try:
        write_text(Path(options.output), text, flush=True)
    except OSError as error:
        raise WorkflowError.of(
            "--output",
            found=f"{options.output!r}: {error.strerror}",
            expected="a file that can be written",
            fix="choose another folder",
        ) from None
    print(json.dumps({"status": "done", "paths": [options.output]}) if options.json else clean(options.output))
    return 0
