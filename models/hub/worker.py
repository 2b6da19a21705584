"""Downloads files of one hub repository in a separate process: a process can be stopped at once, a thread cannot.

Run as a file, with a JSON object in the first line of stdin: `repository`, `revision`, `names`, `folder`
(null: the cache). Prints one JSON object:
`root`, or `kind`, `kinds` and `text` of the error. The hub's own client resumes unfinished downloads. The process ends
when its stdin does: whoever asked is gone then, even if it was killed.
"""

import json
import os
import sys
import threading


def main() -> None:
    """Download the files and print the result."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        from huggingface_hub import snapshot_download

        root = snapshot_download(
            asked["repository"],
            revision=asked["revision"],
            allow_patterns=asked["names"],
            local_dir=asked["folder"],
            max_workers=4,
        )
        answer: dict[str, object] = {"root": str(root)}
    except Exception as error:  # noqa: BLE001 - reported to the process that asked
        answer = {
            "kind": type(error).__name__,
            "kinds": [kind.__name__ for kind in type(error).__mro__],
            "text": str(error),
        }
    print(json.dumps(answer), flush=True)
    os._exit(0)  # without waiting for the thread that still reads


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
