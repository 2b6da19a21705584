"""Tokens of clusters: whoever imported or started Ray before us, and whatever the cluster asks for."""

import json
import os
import subprocess
import sys
import types

import pytest
from clusters.ray_cluster import started, without_ray
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.front.ray import connect

SCRIPT = """
import json, os, sys
address, before = sys.argv[1], json.loads(sys.argv[2])
if "imported" in before:
    import ray
if "mode" in before:
    os.environ["RAY_AUTH_MODE"] = before["mode"]
if "initialised" in before:
    import ray
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.front.ray.connect import connected
try:
    with connected(address, 1) as ray:
        found = ray.get(ray.remote(lambda: "an answer").remote(), timeout=120)
    print(json.dumps([found, ray.is_initialized()]))
except WorkflowError as error:
    print(json.dumps([str(error), False]))
"""


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    """A Ray whose native part reads its variables when it is told to, as Ray's own does."""
    read = {}

    class Config:
        def initialize(self):
            read["mode"] = os.environ.get("RAY_AUTH_MODE")

    class Loader:
        def instance():
            return types.SimpleNamespace(reset_cache=lambda: None)

    native = types.ModuleType("ray._raylet")
    native.Config, native.AuthenticationTokenLoader = types.SimpleNamespace(initialize=Config.initialize), Loader
    package = types.ModuleType("ray")
    package._raylet, package.is_initialized, package.shutdown = native, lambda: False, lambda: None
    package.init = lambda **given: read.update(at_init=read.get("mode"))
    monkeypatch.setitem(sys.modules, "ray", package)
    monkeypatch.setitem(sys.modules, "ray._raylet", native)
    monkeypatch.setattr(connect, "find_spec", lambda name: name)
    monkeypatch.setattr(connect, "_require_answer", lambda address: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.setenv(name, "")  # so that it is as before after the test
        monkeypatch.delenv(name)
    return read


def keep_token(home):
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("a" * 64)


@pytest.mark.parametrize("address", ["local", "127.0.0.1:6379"])
def test_ray_reads_what_it_is_to_show_before_it_connects_whoever_imported_it(pretended, tmp_path, address):
    keep_token(tmp_path)
    with connect.connected(address, 1):
        assert pretended["at_init"] == "token"


def test_without_a_token_ray_decides_and_what_the_user_chose_stays(pretended, tmp_path, monkeypatch):
    with connect.connected("local", 1):
        assert pretended["at_init"] is None
    keep_token(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with connect.connected("local", 1):
        assert pretended["at_init"] == "disabled"


def test_a_ray_that_knows_of_no_tokens_is_used_as_it_is(pretended, tmp_path, monkeypatch):
    keep_token(tmp_path)
    monkeypatch.setitem(sys.modules, "ray._raylet", types.ModuleType("ray._raylet"))
    with connect.connected("127.0.0.1:6379", 1):
        assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_cluster_that_asks_for_another_token_is_an_error_that_says_so(pretended):
    class AuthenticationError(Exception):
        pass

    def refuse(address):
        raise AuthenticationError("InvalidAuthToken")

    sys.modules["ray._raylet"].GcsClient = refuse
    with pytest.raises(WorkflowError, match="asks for a token") as error, connect.connected("10.0.0.5:6379", 1):
        pass
    assert "auth_token" in str(error.value)
    assert "at_init" not in pretended


# with Ray itself


def connects(home, address, **before):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, address, json.dumps(before)],
        env=without_ray(HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def homes(tmp_path):
    with_token, without = tmp_path / "with", tmp_path / "without"
    with_token.mkdir()
    without.mkdir()
    keep_token(with_token)
    return with_token, without


@pytest.mark.ray
def test_a_cluster_is_started_here_whoever_imported_or_started_ray_before(homes):
    for home in homes:
        assert connects(home, "local", imported=True) == ["an answer", False]
    assert connects(homes[0], "local", imported=True, mode="disabled") == ["an answer", False]
    assert connects(homes[0], "local", initialised=True) == ["an answer", True], "theirs is left running"


@pytest.mark.ray
def test_a_cluster_with_a_token_is_reached_and_one_without_too(homes):
    with_token, without = homes
    with started(HOME=str(with_token)) as (asks, _):
        assert connects(with_token, asks) == ["an answer", False]
        assert connects(with_token, asks, imported=True) == ["an answer", False]
        assert connects(with_token, asks, imported=True, mode="token") == ["an answer", False]
        said, _ = connects(without, asks, imported=True)
        assert "asks for a token" in said
        assert "auth_token" in said
    with started(HOME=str(with_token), RAY_AUTH_MODE="disabled") as (asks_not, _):
        assert connects(with_token, asks_not, imported=True) == ["an answer", False]
        assert connects(without, asks_not, imported=True) == ["an answer", False]
