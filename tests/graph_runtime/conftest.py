"""Fixtures of the runtime's tests."""

import types

import graph_toys
import pytest


@pytest.fixture
def toys() -> types.SimpleNamespace:
    return graph_toys.make_toys()


@pytest.fixture(name="graph")
def _graph():
    return graph_toys.graph
