"""Fixtures of every test."""

import os

import pytest

# Before torch is imported: toys gain nothing from threads, and on a busy machine threads that wait for each other take
# ten times as long. Every process of the tests computes alike.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from inlay.graph_runtime import session


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory, monkeypatch):
    """A home and a session of its own for every test."""
    monkeypatch.setenv("INLAY_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr(session, "_sessions", {})


def pytest_collection_modifyitems(items):
    """Tests that need an NVIDIA GPU are named as not run where there is none; names are the same in every process."""
    if unsteady := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"names that differ between processes (give parametrize its ids=…): {unsteady}")
    if any(item.get_closest_marker("cuda") for item in items):
        import torch

        for item in items:
            if item.get_closest_marker("cuda") and not torch.cuda.is_available():
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))
