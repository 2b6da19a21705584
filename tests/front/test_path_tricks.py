"""What runs of hostile paths really open, as Python's audit hook and strace tell it."""

import codecs
import json
import os
import re
import shutil
import subprocess
import sys

import path_tricks
import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="links and pipes need a privilege there"),
    pytest.mark.xdist_group("path_tricks"),
]
CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += +(-?\d+)(?:<(.*)>)?(?: .*)?$")


def run(base, tricks, *before):
    with open(base / "secret/a.png", "rb") as stdin:
        done = subprocess.run(
            [*before, sys.executable, path_tricks.__file__, str(base), "mark" if before else "watch"],
            stdin=stdin,
            capture_output=True,
            text=True,
            cwd=base / "in",
            env=path_tricks.environment(base),
            timeout=1200,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads((base / "seen.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in seen] == [trick.name for trick in tricks]
    strange = {one["name"]: one["said"] for one in seen if any("unforeseen" in word for word in one["said"])}
    assert strange == {}
    return {one["name"]: one for one in seen}


@pytest.fixture
def table(tmp_path, shared_sd):
    base = tmp_path.resolve() / "t"
    base.mkdir()
    return base, path_tricks.prepare(base, shared_sd)


def test_no_path_trick_opens_anything_outside(table):
    base, tricks = table
    assert len(tricks) > 40
    seen, everywhere = run(base, tricks), path_tricks.allowed_everywhere(base)
    escaped = {
        trick.name: wrong
        for trick in tricks
        if (wrong := [path for path in seen[trick.name]["opened"] if path_tricks.outside(path, trick, everywhere)])
    }
    assert [os.path.basename(path) for path in escaped.pop(path_tricks.CANARY)] == ["b.png"]
    assert escaped == {}
    assert {trick.name: others for trick in tricks if (others := seen[trick.name]["others"])} == {}
    honest = [trick.name for trick in tricks if trick.honest]
    assert len(honest) > 30
    assert {name: said for name in honest if (said := seen[name]["said"]) != ["fine", "fine"]} == {}


def calls(log, names):
    """(trick, system call, its arguments, the path that was opened) of a log of strace; None before the first trick."""
    now = None
    for line in log.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        found = CALL.match(line)
        if found is None:
            continue
        call, arguments, _, path = found.groups()
        path = codecs.escape_decode(path.encode())[0].decode(errors="surrogateescape") if path else ""
        mark = os.path.basename(path) if os.path.basename(os.path.dirname(path)) == "marks" else ""
        now = mark if mark in names else now
        yield now, call, arguments, path


@pytest.mark.strace
def test_strace_sees_no_path_trick_open_anything_outside(table, tmp_path):
    base, tricks = table
    assert shutil.which("strace"), "install strace (.ci/strace-test does)"
    log = tmp_path / "strace.log"
    run(base, tricks, shutil.which("strace"), "-f", "-y", "-z", "-e", "trace=%file,connect,socket", "-o", str(log))
    by_name, everywhere = {trick.name: trick for trick in tricks}, path_tricks.allowed_everywhere(base)
    marked, escaped = set(), []
    for name, call, arguments, path in calls(log, by_name):
        marked.add(name)
        if name is None:  # Python starts, and imports its libraries
            assert not (call == "connect" and re.search(r"sin6?_", arguments)), arguments
        elif call.startswith("open") or call == "creat":
            walked = "O_PATH" in arguments  # a folder on the way down: its name is known, nothing is read
            if not walked and path_tricks.outside(path, by_name.get(name), everywhere):
                escaped.append((name, call, path))
        elif (call in ("socket", "connect") and re.search(r"AF_INET|sin6?_", arguments)) or (
            call.startswith("exec") and name is not None
        ):
            escaped.append((name, call, arguments))
    assert marked >= set(by_name)  # the log is whole
    noticed = [one for one in escaped if one[0] == path_tricks.CANARY]
    assert {os.path.basename(path) for _, _, path in noticed} == {"b.png"}
    assert set(escaped) == set(noticed), "\n".join(map(str, escaped))
