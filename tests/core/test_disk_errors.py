"""What a disk or a folder causes is named as such, with a fix, and never called a bug; nothing half-written stays."""

import errno
import itertools
import os
import shutil
import types

import inlay
import numpy as np
import pytest
import torch
from graph_toys import One
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime import node as inlay_node
from inlay.graph_runtime.core.disk_errors import disk_error, explain
from inlay.pictures.files.info import FileInfo
from inlay.pictures.files.write import SavedMetadata, write_picture
from safetensors.torch import save_file

resource = pytest.importorskip("resource", reason="Windows has no limit on the size of files")
NOISE = np.random.default_rng(0).random((100, 100, 3))
WRITERS = {
    "bytes": lambda path: path.write_bytes(bytes(50_000)),
    "safetensors": lambda path: save_file({"a": torch.zeros(20_000)}, str(path)),
    **{
        kind: lambda path, kind=kind: write_picture(NOISE, path, kind, SavedMetadata({}))
        for kind in ("png", "jpeg", "webp")
    },
    "deep png": lambda path: write_picture(NOISE, path, "png", SavedMetadata({}), FileInfo(bits=16)),
}


@pytest.fixture
def small_files():
    """In the block no file may grow beyond some bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def save(ctx, prefix="a", write=WRITERS["bytes"]):
    with ctx.new_file(prefix, ".out") as path:
        write(path)


def problem_of(ctx, prefix="a", write=WRITERS["bytes"]):
    with pytest.raises(BadInput) as caught:
        save(ctx, prefix, write)
    assert caught.value.port == "prefix"
    assert caught.value.fix
    return caught.value.found


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("limit", [0, 300, 10_000])
def test_a_full_disk_is_named_by_every_writer_and_nothing_stays(tmp_path, small_files, writer, limit):
    ctx = Context(out=tmp_path)
    small_files(limit)
    found = problem_of(ctx, write=WRITERS[writer])
    assert str(tmp_path) in found
    assert "File too large" in found
    small_files(resource.RLIM_INFINITY)
    assert os.listdir(tmp_path) == []
    assert ctx.saved == []
    save(ctx, write=WRITERS[writer])
    assert os.listdir(tmp_path) == ["a_00001.out"]


def test_a_prefix_that_runs_through_a_file_is_named(tmp_path):
    ctx = Context(out=tmp_path)
    save(ctx)
    assert "a file is where a folder is needed" in problem_of(ctx, "a_00001.out/x")
    assert "a file is where a folder is needed" in problem_of(ctx, "a_00001.out/x/y/z")
    assert os.listdir(tmp_path) == ["a_00001.out"]


@pytest.mark.parametrize("prefix", ["x" * 300 + "/a", "é" * 150 + "/a", "/".join(["abcdefgh"] * 600)])
def test_a_name_that_is_too_long_in_bytes_is_named(tmp_path, prefix):
    assert "too long" in problem_of(Context(out=tmp_path), prefix)


@pytest.mark.parametrize("kind", ["file", "pipe", "broken link", "circle"])
def test_what_is_in_the_place_of_the_output_folder_is_named(tmp_path, kind):
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    elif kind == "pipe":
        os.mkfifo(out)
    else:
        out.symlink_to("out" if kind == "circle" else tmp_path / "nowhere" / "deep")
        (tmp_path / "nowhere").write_text("mine")
    assert "out" in problem_of(Context(out=out)) or kind == "broken link"


@pytest.mark.skipif(not os.path.isdir("/sys/kernel"), reason="needs a file system that takes no files")
def test_a_folder_that_takes_no_files_is_named(tmp_path):
    assert "no permission" in problem_of(Context(out="/sys/kernel"))
    assert "/sys/kernel" in problem_of(Context(out="/sys/kernel"), "b/a")


def test_an_output_folder_that_vanishes_while_a_file_is_written_is_named_and_made_again(tmp_path):
    ctx = Context(out=tmp_path / "out")

    def vanish(path):
        path.write_bytes(b"1")
        shutil.rmtree(tmp_path / "out")

    assert "not there, or no longer" in problem_of(ctx, write=vanish)
    save(ctx)
    assert (tmp_path / "out" / "a_00001.out").exists()


def test_a_mistake_of_the_writer_stays_what_it_is(tmp_path):
    with pytest.raises(ZeroDivisionError):
        save(Context(out=tmp_path), write=lambda path: 1 / 0)


def nested(*errors):
    for error, cause in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors[0]


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "x"), errno.ENOSPC),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 28),
        (nested(ValueError("x"), KeyError("y"), OSError(errno.EDQUOT, "z")), errno.EDQUOT),
        (OSError("encoder error -2 when writing image file"), None),
        (OSError("cannot identify image file"), ...),
        (ValueError("no"), ...),
        (ConnectionResetError(errno.ECONNRESET, "by peer"), ...),
    ],
)
def test_the_disks_error_is_found_behind_those_of_libraries(error, number):
    found = disk_error(error)
    assert (found is None) if number is ... else (found.errno == number)


def test_an_error_that_causes_itself_ends(tmp_path):
    error = ValueError("x")
    other = nested(KeyError("y"), error)
    error.__cause__ = other
    assert disk_error(error) is None
    assert explain(OSError(5000, "odd"), tmp_path)[0] == f"{tmp_path}: odd"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO, errno.ENOENT, errno.EMFILE])
def test_a_node_that_meets_a_disk_error_is_named_and_inlay_is_not_to_blame(number):
    module = types.ModuleType("failing")

    @inlay_node("toy.fail")
    def fail() -> One:
        """Fails."""
        raise OSError(number, os.strerror(number), "/some/file")

    module.fail = fail
    with pytest.raises(inlay.NodeError) as caught:
        inlay.run({"format": 1, "nodes": {"n": {"type": "toy.fail"}}, "outputs": {"x": "n.value"}}, nodes=[module])
    assert "/some/file" in str(caught.value)
    assert "bug" not in str(caught.value)
    assert caught.value.problem.fix
