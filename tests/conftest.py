"""Fixtures of every test."""

import itertools
import os
import re
import types

import pytest

# Before torch is imported: toys gain nothing from threads, and on a busy machine threads that wait for each other take
# ten times as long. Every process of the tests computes alike.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import graph_toys
from hypothesis import settings
from inlay.graph_runtime.front import kept_between_runs
from inlay.graph_runtime.front.cli import main
from recording import RecordingContext
from tiny_models import Tiny

# A busy machine, or a first import, is no failure of a property.
settings.register_profile("inlay", deadline=None)
settings.load_profile("inlay")


@pytest.fixture(scope="session")
def _homes(tmp_path_factory):
    """New folders for homes. `mktemp` would read the names of all that are there: thousands, for every test."""
    place = tmp_path_factory.mktemp("homes")
    return (place / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_home(_homes, monkeypatch):
    """A home, and no models kept from other runs, for every test."""
    home = next(_homes)
    home.mkdir()
    monkeypatch.setenv("INLAY_HOME", str(home))
    monkeypatch.setattr(kept_between_runs, "_kept", {})


@pytest.fixture
def home_of_pages(tmp_path_factory, monkeypatch):
    """One home for all processes of these tests: what two pages show is computed once, and repeated as for a user."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    monkeypatch.setenv("INLAY_HOME", str(base / "home-of-pages"))


@pytest.fixture
def toys() -> types.SimpleNamespace:
    """Nodes of a toy pack, and their registry."""
    return graph_toys.make_toys()


@pytest.fixture(name="graph")
def _graph():
    return graph_toys.graph


@pytest.fixture
def tiny(tmp_path):
    return Tiny(tmp_path)


@pytest.fixture(scope="session")
def tiny_at():
    """Makes a `Tiny` in a folder, for fixtures that outlive a test."""
    return Tiny


@pytest.fixture(scope="session")
def shared_sd(tmp_path_factory):
    """A tiny Stable Diffusion folder that no test may change."""
    return Tiny(tmp_path_factory.mktemp("shared")).stable_diffusion()


@pytest.fixture(scope="session")
def shared_pbe(tmp_path_factory):
    """A tiny Paint-by-Example folder that no test may change."""
    return Tiny(tmp_path_factory.mktemp("shared")).paint_by_example()


@pytest.fixture(scope="session")
def shared_pixel(tmp_path_factory):
    """A tiny pixel-space folder that no test may change."""
    return Tiny(tmp_path_factory.mktemp("shared")).pixel()


@pytest.fixture
def ctx(tmp_path):
    """A context that keeps its warnings."""
    return RecordingContext(out=tmp_path / "out")


@pytest.fixture
def command(capsys, monkeypatch):
    """The command `inlay` in this process: what a subprocess would give, without importing torch every time."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words):
        try:
            status = main.main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return types.SimpleNamespace(returncode=status, stdout=captured.out, stderr=captured.err)

    return call


def pytest_ignore_collect(collection_path, config):
    """With `-m NAME`, only files that speak of that mark are imported."""
    if collection_path.suffix == ".py" and re.fullmatch("browser|floor|ray|strace", config.option.markexpr):
        return f"mark.{config.option.markexpr}" not in collection_path.read_text("utf-8") or None
    return None


def pytest_collection_modifyitems(items):
    """Slow tests come first, so that no process works alone at the end, and those of a GPU are skipped without one.

    Names must be the same in every process.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if unsteady := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"names that differ between processes (give parametrize its ids=…): {unsteady}")
    if any(item.get_closest_marker("cuda") for item in items):
        import torch

        for item in items:
            if item.get_closest_marker("cuda") and not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))
