"""The harness sees what it is for: faults are planted behind a door, and each must be found under its own name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the harness needs Linux: fork, inotify, /proc", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]

PLANTED = """
import json, os, pickle, signal, socket, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from fuzzing import case, doors, judge, server
from fuzzing.doors import Answer

def reads_outside(case, folder, world):
    open(world.root / "secret" / "s.png", "rb").close()

def reads_outside_past_python(case, folder, world):
    import ctypes
    os.close(ctypes.CDLL(None).open(str(world.root / "secret" / "s.png").encode(), os.O_RDONLY))

def follows_a_link(case, folder, world):
    open(folder / "link.png", "rb").close()

def reads_the_environment(case, folder, world):
    open("/proc/self/environ", "rb").close()

def writes_outside(case, folder, world):
    open(world.root / "secret" / "new", "wb").close()
    os.remove(world.root / "secret" / "new")

def opens_a_pickle(case, folder, world):
    pickle.loads(pickle.dumps(json.JSONDecoder))

def connects(case, folder, world):
    with socket.socket() as one:
        one.settimeout(0.1)
        try:
            one.connect(("127.0.0.1", 9))
        except OSError:
            pass

def starts_a_process(case, folder, world):
    subprocess.run(["true"])

def runs_code_of_the_folder(case, folder, world):
    exec(compile("x = 1", str(folder / "evil.py"), "exec"))

def is_slow(case, folder, world):
    end = time.process_time() + 2.5 * judge.calibration()
    while time.process_time() < end:
        pass

def takes_memory(case, folder, world):
    bytearray(1300 * 2**20)

def raises(case, folder, world):
    return {}["x"]

def says_it_is_a_bug(case, folder, world):
    import inlay
    raise inlay.WorkflowError.of(None, found="x", expected="y", fix="this is a bug in inlay: report it")

def leaves_a_file(case, folder, world):
    (world.out / ".x.part").touch()

def leaves_a_file_in_the_folder(case, folder, world):
    (folder / "new").touch()

def crashes(case, folder, world):
    os.kill(os.getpid(), signal.SIGSEGV)

def answers_otherwise(case, folder, world, times=[]):
    times.append(1)
    return Answer("ok", str(len(times)))

def hangs(case, folder, world):
    open(folder / "pipe.png", "rb")

def is_fine(case, folder, world):
    open(folder / "a.png", "rb").close()
    (world.out / "a.png").touch()
    return Answer("ok", "same")

faults = [value for value in list(globals().values()) if getattr(value, "__module__", "") == "__main__"]
server.HANG, server.STUCK = 4.0, 60.0
with server.Server(needs=None) as one:
    for fault in faults:
        doors.DOORS["planted"] = lambda *given, fault=fault: fault(*given) or Answer("ok", "same")
        result = one.judge(case.Case("planted", "w.json", files={"w.json": b"{}"}))
        print(json.dumps([fault.__name__, [finding.kind for finding in result.findings]]), flush=True)
"""

FAULTS = {
    "reads_outside": "escape",
    "reads_outside_past_python": "escape",
    "follows_a_link": "escape",
    "reads_the_environment": "escape",
    "writes_outside": "write",
    "opens_a_pickle": "pickle",
    "connects": "socket",
    "starts_a_process": "process",
    "runs_code_of_the_folder": "code",
    "is_slow": "slow",
    "takes_memory": "memory",
    "raises": "exception",
    "says_it_is_a_bug": "unforeseen",
    "leaves_a_file": "leftover",
    "leaves_a_file_in_the_folder": "leftover",
    "crashes": "crash",
    "answers_otherwise": "second answer",
    "hangs": "hang",
}


@pytest.fixture(scope="module")
def found():
    words = [sys.executable, "-c", PLANTED, str(ROOT / "tests" / "helpers")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


@pytest.mark.xdist_group("fuzz")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(found, fault):
    assert FAULTS[fault] in found[fault]


@pytest.mark.xdist_group("fuzz")
def test_what_is_allowed_is_no_finding(found):
    assert found["is_fine"] == []
