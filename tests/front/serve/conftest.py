"""Fixtures of the tests of the server."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _home_of_servers(tmp_path_factory):
    """A home for the servers that a module starts: what they keep is theirs alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INLAY_HOME", str(tmp_path_factory.mktemp("home")))
        yield
