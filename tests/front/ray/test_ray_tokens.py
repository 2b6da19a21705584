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
import json, os, sys, time
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
        class Answers:
            def say(self):
                time.sleep(1)
                return "an answer"
        actor = ray.remote(Answers).remote()
        found = [ray.get(actor.say.remote(), timeout=120) for _ in range(3)][-1]
    print(json.dumps([found, ray.is_initialized()]))
except WorkflowError as error:
    print(json.dumps([str(error), False]))
"""


class AuthenticationError(Exception):
    """As Ray's."""


class Pretended:
    """A Ray whose native part reads its variables when it is told to, and a cluster that may ask for a token."""

    def __init__(self):
        self.mode, self.asks, self.at_init = None, False, "never"
        self.native = types.ModuleType("ray._raylet")
        self.native.Config = types.SimpleNamespace(initialize=self._read)
        loader = types.SimpleNamespace(reset_cache=lambda: None)
        self.native.AuthenticationTokenLoader = types.SimpleNamespace(instance=lambda: loader)
        self.native.GcsClient = self._call
        self.package = types.ModuleType("ray")
        self.package._raylet, self.package.is_initialized = self.native, lambda: False
        self.package.init, self.package.shutdown = self._init, lambda: None

    def _read(self, text):
        self.mode = os.environ.get("RAY_AUTH_MODE")

    def _call(self, address):
        if self.asks and self.mode != "token":
            raise AuthenticationError("InvalidAuthToken")

    def _init(self, **given):
        self.at_init = self.mode


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    made = Pretended()
    monkeypatch.setitem(sys.modules, "ray", made.package)
    monkeypatch.setitem(sys.modules, "ray._raylet", made.native)
    monkeypatch.setattr(connect, "find_spec", lambda name: name)
    monkeypatch.setattr(connect, "_require_answer", lambda address: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.setenv(name, "")  # so that it is as before after the test
        monkeypatch.delenv(name)
    return made


def keep_token(home):
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("a" * 64)


def test_a_token_is_shown_to_a_cluster_that_asks_for_it_whoever_imported_ray_and_to_no_other(pretended, tmp_path):
    keep_token(tmp_path)
    pretended.asks = True
    with connect.connected("127.0.0.1:6379", 1):
        assert pretended.at_init == "token"
    assert (os.environ.get("RAY_AUTH_MODE"), pretended.mode) == (None, None), "as it was"
    pretended.asks = False
    with connect.connected("127.0.0.1:6379", 1):
        assert pretended.at_init is None


@pytest.mark.parametrize("mode", ["disabled", "token"])
def test_what_the_user_chose_is_read_by_ray_and_stays(pretended, monkeypatch, mode):
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    for address in ("local", "127.0.0.1:6379"):
        with connect.connected(address, 1):
            assert pretended.at_init == mode
    assert os.environ["RAY_AUTH_MODE"] == mode


def test_a_ray_that_knows_of_no_tokens_is_used_as_it_is(pretended, tmp_path, monkeypatch):
    keep_token(tmp_path)
    monkeypatch.setitem(sys.modules, "ray._raylet", types.ModuleType("ray._raylet"))
    with connect.connected("127.0.0.1:6379", 1):
        assert pretended.at_init is None


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_a_cluster_that_asks_for_another_token_is_an_error_that_says_so(pretended, monkeypatch, mode):
    pretended.asks = True
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with pytest.raises(WorkflowError, match="asks for a token") as error, connect.connected("10.0.0.5:6379", 1):
        pass
    assert "auth_token" in str(error.value)
    assert pretended.at_init == "never"


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
