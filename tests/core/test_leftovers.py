"""A process may be killed at any instant: nothing half-written has a final name, and the next run removes the rest."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from inlay.graph_runtime.core import files, leftovers
from inlay.graph_runtime.core.leftovers import hidden, owner, recover, sweep

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
COUNT = int(os.environ.get("INLAY_TEST_CONCURRENT", "15"))  # files of each process; `make concurrent` takes 1,000
ENDLESS = "import time\nprint(flush=True)\ntime.sleep(60)"

CALLS = ("open", "write", "fsync", "link", "rename", "replace", "unlink", "mkdir", "rmdir", "scandir", "close")


def refused(*args):
    raise OSError(95, "Operation not supported")


def deadly(real, instant, count):
    """A function of `os` before whose n-th call, counted together, the process is killed."""

    def call(*args, **options):
        if next(count) == instant:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    return call


def killed_at(instant, write, folder):
    """What a process announced that was killed before its n-th call that may change the disk; `end` if it lived."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with open(reading) as pipe:
            announced = pipe.read()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, -signal.SIGKILL)
        return announced.split("\n")[:-1]
    try:
        write_to_pipe, count = os.write, itertools.count(1)
        for name in CALLS:
            setattr(os, name, deadly(getattr(os, name), instant, count))
        write(folder, lambda path: write_to_pipe(writing, f"{path}\n".encode()))
        write_to_pipe(writing, b"end\n")
        os._exit(0)
    finally:
        os._exit(1)


def write_number(folder, announce):
    with files.numbered(folder, "a", ".txt", announce) as path:
        path.write_text("whole")


def write_number_without_links(folder, announce):
    os.link = refused
    write_number(folder, announce)


def write_file(folder, announce):
    with files.replacing(folder / "a.txt", flush=True) as path:
        path.write_text("new")
    announce(folder / "a.txt")


def write_folder(folder, announce):
    with files.replacing_folder(folder / "model") as path:
        (path / "inside").mkdir()
        (path / "inside" / "one").write_text("new")
        (path / "two").write_text("new")
    announce(folder / "model")


@pytest.fixture(autouse=True)
def _look_again(monkeypatch):
    """Every write looks for leftovers, and a claim without an owner's name need not be seconds old."""
    monkeypatch.setattr(leftovers, "AGAIN", 0.0)
    monkeypatch.setattr(leftovers, "_UNWRITTEN", -1.0)


@pytest.mark.parametrize("write", [write_number, write_number_without_links])
def test_a_kill_between_any_two_calls_leaves_a_whole_result_or_none(tmp_path, write):
    instant, announced = 0, []
    while announced[-1:] != ["end"]:
        instant += 1
        folder = tmp_path / str(instant)
        folder.mkdir()
        announced = killed_at(instant, write, folder)
        seen = sorted(path.name for path in folder.glob("[!.]*"))
        assert seen in ([], ["a_00001.txt"])
        assert all((folder / name).read_text() == "whole" for name in seen)
        assert all(Path(path).read_text() == "whole" for path in announced if path != "end")
        with files.numbered(folder, "a", ".txt", lambda path: None) as path:
            path.write_text("next")
        assert sorted(os.listdir(folder)) == [*seen, f"a_{len(seen) + 1:05d}.txt"]
    assert instant > 8


def test_a_kill_between_any_two_calls_leaves_the_old_file_or_the_new(tmp_path):
    instant, announced = 0, []
    while announced[-1:] != ["end"]:
        instant += 1
        (tmp_path / "a.txt").write_text("old")
        announced = killed_at(instant, write_file, tmp_path)
        assert (tmp_path / "a.txt").read_text() in (("new",) if announced else ("old", "new"))

        files.write_text(tmp_path / "b.txt", "")
        assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.txt"]
    assert instant > 4


@pytest.mark.parametrize("next_use", ["write beside", "read"])
def test_a_kill_between_any_two_calls_leaves_the_old_folder_or_the_new(tmp_path, next_use):
    instant, announced, hidden_once = 0, [], False
    model = tmp_path / "model"
    while announced[-1:] != ["end"]:
        instant += 1
        with files.replacing_folder(model) as path:
            (path / "old").write_text("old")
        announced = killed_at(instant, write_folder, tmp_path)
        hidden_once |= not model.exists()
        if next_use == "read":
            assert recover(model)
        files.write_text(tmp_path / "b.txt", "")
        found = {path.relative_to(model).as_posix(): path.read_text() for path in model.rglob("*") if path.is_file()}
        new = {"inside/one": "new", "two": "new"}
        assert found == new if announced else found in (new, {"old": "old"})
        assert sorted(os.listdir(tmp_path)) == ["b.txt", "model"]
    assert hidden_once


def process(code=ENDLESS):
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    running.stdout.readline()
    return running


def name_of(running):
    return f"{leftovers._machine()}-{running.pid}-{leftovers._began(running.pid)}"


def test_only_what_belongs_to_processes_that_have_ended_is_removed(tmp_path):
    alive, dead, zombie = process(), process(), process()
    names = {
        "alive": f".a.png.{name_of(alive)}-12345678.part",
        "dead": f".a.png.{name_of(dead)}-12345678.part",
        "zombie": f".b.{name_of(zombie)}-12345678.part",
        "reused": f".a.png.{leftovers._machine()}-{alive.pid}-1-12345678.part",
        "mine": hidden("c") + ".part",
        "other machine": f".a.png.00000000-{dead.pid}-99-12345678.part",
        "old, other machine": ".d.png.00000000-1-99-12345678.part",
        "earlier release": f".e.png.{dead.pid}-12345678.part",
        "old, earlier release": f".f.png.{dead.pid}-12345678.part",
        "claim": ".a_00001.png.claim",
        "claim of the living": ".a_00002.png.claim",
        "empty claim beside the living": ".a_00003.png.claim",
        "of the user": ".notes.part",
        "also": ".vimrc.old",
        "and": ".claim",
        "too": ".my_00001.png.claim",
    }
    for name in names.values():
        (tmp_path / name).touch()
    (tmp_path / names["claim"]).write_text(name_of(dead))
    (tmp_path / names["claim of the living"]).write_text(name_of(alive))
    (tmp_path / names["too"]).write_text("a text of the user")
    for name in ("old, other machine", "old, earlier release", "of the user", "also"):
        os.utime(tmp_path / names[name], (0, 0))
    dead.kill()
    dead.communicate()
    zombie.kill()
    time.sleep(0.05)  # killed, and not waited for
    sweep(tmp_path)
    gone = {key for key, name in names.items() if not (tmp_path / name).exists()}
    assert gone == {"dead", "zombie", "reused", "old, other machine", "old, earlier release", "claim"}
    for running in (alive, zombie):
        running.kill()
        running.communicate()


def test_an_empty_claim_goes_when_nobody_writes_there(tmp_path):
    (tmp_path / ".a_00003.png.claim").touch()
    sweep(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_folder_of_a_killed_process_goes_whole_and_no_link_is_followed(tmp_path):
    dead = process()
    name = name_of(dead)
    dead.kill()
    dead.communicate()
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / "here" / f".m.{name}-12345678.part" / "deep").mkdir(parents=True)
    (tmp_path / "here" / f".m.{name}-12345678.part" / "deep" / "file").touch()
    (tmp_path / "here" / f".m.{name}-12345679.part").symlink_to(tmp_path / "precious")
    sweep(tmp_path / "here")
    assert os.listdir(tmp_path / "here") == []
    assert (tmp_path / "precious" / "file").exists()


def test_this_process_is_known_by_its_number_and_start():
    assert not leftovers.has_ended(owner())
    machine, number, began = owner().split("-")
    assert int(number) == os.getpid()
    assert leftovers.has_ended(f"{machine}-{number}-{int(began, 16) + 1:x}")
    assert not leftovers.has_ended(f"{machine}-{number}-0")  # nobody knows when it began
    assert not leftovers.has_ended(f"00000000-{number}-1")
    child = os.fork()
    if not child:
        os._exit(0 if f"-{os.getpid()}-" in owner() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_the_systems_other_way_to_know_a_process_agrees(monkeypatch):
    import psutil  # before the name of the system changes

    dead, alive = process(), process()
    monkeypatch.setattr(leftovers.sys, "platform", "darwin")  # psutil, as where there is no /proc
    name = name_of(alive)
    before = name_of(dead)
    dead.kill()
    dead.communicate()
    assert psutil.pid_exists(alive.pid)
    assert leftovers.has_ended(before)
    assert not leftovers.has_ended(name)
    assert leftovers.has_ended(name[:-3] + ("0" if name[-3] != "0" else "1") + name[-2:])
    alive.kill()
    alive.communicate()


SAVING = """
import os, sys
from pathlib import Path
from inlay.graph_runtime.core import files
if sys.argv[4] == "no links" or (sys.argv[4] == "mixed" and int(sys.argv[2]) % 2):
    def refused(*args): raise OSError(95, "Operation not supported")
    os.link = refused
folder, paths = Path(sys.argv[1]), []
for number in range(int(sys.argv[3])):
    with files.numbered(folder, "a", ".txt", paths.append) as path:
        path.write_text(sys.argv[2] + " " + str(number))
print(*paths, sep="\\n")
"""


@pytest.mark.parametrize("links", ["links", "no links", "mixed"])
def test_eight_processes_save_at_once_and_no_result_is_lost_or_overwritten(tmp_path, links):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SAVING, str(tmp_path), str(process), str(COUNT), links],
            stdout=subprocess.PIPE,
            text=True,
        )
        for process in range(8)
    ]
    announced = [one.communicate(timeout=600)[0].split() for one in running]
    assert [one.returncode for one in running] == [0] * 8
    for process, paths in enumerate(announced):
        assert [Path(path).read_text() for path in paths] == [f"{process} {number}" for number in range(COUNT)]
    assert sorted(os.listdir(tmp_path)) == [f"a_{number:05d}.txt" for number in range(1, 8 * COUNT + 1)]


def test_another_case_of_a_name_is_another_file_or_the_next_number(tmp_path):
    for name in ("image", "Image"):
        with files.numbered(tmp_path, name, ".png", lambda path: None) as path:
            path.write_text(name)
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["Image", "image"]


@pytest.mark.parametrize("letter", ["x", "é", "𝄞"])
def test_a_long_name_has_a_hidden_name_that_fits(tmp_path, letter):
    name = letter * (244 // len(letter.encode()))
    for _ in range(2):
        with files.numbered(tmp_path, name, ".png", lambda path: None) as path:
            path.touch()
    assert len(os.listdir(tmp_path)) == 2
    files.write_text(tmp_path / (letter * (255 // len(letter.encode()))), "")


def test_a_model_folder_caught_in_a_swap_is_there_for_the_next_check(tmp_path, tiny):
    """The check of a workflow finds the folder that a killed run had renamed and not yet replaced."""
    import inlay

    folder = tiny.stable_diffusion()
    dead = process()
    name = name_of(dead)
    dead.kill()
    dead.communicate()
    os.rename(folder, folder.with_name(f".{folder.name}.{name}-12345678.old"))
    flow = {
        "format": 1,
        "inputs": {"source": "model.source"},
        "nodes": {"model": {"type": "model.stable_diffusion", "params": {"source": "x/y"}}},
        "outputs": {"vae": "model.vae"},
    }
    assert not inlay.check(flow, source=str(folder), out=tmp_path / "out")
    assert folder.is_dir()
