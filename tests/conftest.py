"""Fixtures of every test."""

import pytest
from inlay.graph_runtime import session


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory, monkeypatch):
    """A home and a session of its own for every test."""
    monkeypatch.setenv("INLAY_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr(session, "_sessions", {})
