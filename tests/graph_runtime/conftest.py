"""Fixtures of the runtime's tests."""

import types

import graph_toys
import pytest
from inlay.graph_runtime import session


@pytest.fixture
def toys() -> types.SimpleNamespace:
    return graph_toys.make_toys()


@pytest.fixture(name="graph")
def _graph():
    return graph_toys.graph


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory, monkeypatch):
    """A home and a session of its own for every test."""
    monkeypatch.setenv("INLAY_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr(session, "_sessions", {})
