"""What comes over the wire reads nothing outside the server's folders, as Python's audit hook tells."""

import json
import subprocess
import sys

import path_tricks
import pytest
import wire_tricks

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="links and pipes need a privilege there"),
    pytest.mark.xdist_group("path_tricks"),
]


def test_no_path_in_a_request_opens_anything_outside_the_servers_folders(tmp_path, shared_sd):
    base = tmp_path.resolve() / "t"
    base.mkdir()
    tricks = {trick.name: trick for trick in path_tricks.prepare(base, shared_sd)}
    with open(base / "secret/a.png", "rb") as stdin:
        done = subprocess.run(
            [sys.executable, wire_tricks.__file__, str(base)],
            stdin=stdin,
            capture_output=True,
            text=True,
            cwd=base / "secret",  # a server may be started anywhere
            env=path_tricks.environment(base),
            timeout=1200,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads((base / "seen.json").read_text(encoding="utf-8"))
    assert len(seen) > 300
    everywhere = path_tricks.allowed_everywhere(base)
    wrong = {}
    for one in seen:
        trick = tricks[one["name"]]
        trick.reads = [str(base / "in")]
        if found := [path for path in one["opened"] if path_tricks.outside(path, trick, everywhere)]:
            wrong[one["name"], one["way"]] = found
    assert wrong == {}
    assert {(one["name"], one["way"]) for one in seen if one["others"]} == set()
    assert {one["said"] for one in seen if "unforeseen" in one["said"] or "bug of inlay" in one["said"]} == set()
    fine = {(one["name"], one["way"]) for one in seen if one["said"] == "fine"}
    assert {way for _, way in fine} >= {"file", "setting", "value"}  # honest requests are served
    assert not {name for name, way in fine if way == "recalled"}  # each picture names a file that is outside
