"""What `--profile` measures: counted again by other means; and that measuring changes nothing."""

import threading
from contextlib import contextmanager
from pathlib import Path

import inlay
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from graph_toys import Number, One
from inlay.graph_runtime import Context, NodeError, node
from inlay.graph_runtime.core.events import NodeProgress
from inlay.graph_runtime.core.memory import leases
from inlay.graph_runtime.front.kept_between_runs import kept_between_runs
from inlay.graph_runtime.front.profile.calls import calls_told_to, timed
from inlay.nodes.model import stable_diffusion
from safetensors import safe_open


@contextmanager
def counted(monkeypatch, owner, name):
    """Counts calls of a method on its class, which the profile does not touch."""
    rows, method = [], getattr(owner, name)

    def call(self, sample, *args, **kwargs):
        rows.append(sample.shape[0])
        return method(self, sample, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, call)
        yield rows


def test_profiling_changes_no_byte_and_counts_every_call(sampled, profile_in, tmp_path, monkeypatch):
    plain = sampled(cache=False)
    with (
        counted(monkeypatch, UNet2DConditionModel, "forward") as evaluations,
        counted(monkeypatch, AutoencoderKL, "decode") as decoded,
    ):
        measured = sampled(cache=False, profile=tmp_path / "profile")
    assert plain.paths[0].read_bytes() == measured.paths[0].read_bytes()
    assert torch.equal(plain["image"], measured["image"])
    assert plain.profile is None
    assert measured.profile == tmp_path / "profile"
    profile = profile_in(measured.profile)
    [unet] = [one for one in profile.nodes["sample"]["models"] if one["model"].startswith("unet ")]
    assert (unet["calls"], unet["rows"]) == (len(evaluations), sum(evaluations))
    assert unet["parts"] == {"forward": unet["calls"]}
    assert sum(one["parts"].get("decode", 0) for node in profile.data["nodes"] for one in node["models"]) == len(
        decoded
    )
    assert profile.nodes["sample"]["steps"] == sampled.steps
    assert profile.data["totals"]["host_waits"] == 0
    assert profile.data["status"] == "done"
    assert {node["result"] for node in profile.data["nodes"]} == {"made", "known"}


def test_without_a_profile_nothing_is_wrapped_and_afterwards_nothing_is_left(sampled, small_job, tmp_path):
    parts = stable_diffusion(small_job["source"])
    manager, _ = kept_between_runs("cpu", None)

    def own(module):
        return {name: set(vars(part)) for name, part in module.named_modules()}

    with manager.lease(parts.denoiser) as unet:
        before = own(unet)
        assert leases.watched("unet", unet) is leases.watched("another", unet)  # one object, which does nothing
    sampled(cache=False, profile=tmp_path / "profile")
    with manager.lease(parts.denoiser) as unet:
        assert own(unet) == before
        assert "forward" not in vars(unet)


def test_the_peak_is_what_a_node_makes_and_the_weights_that_are_there(toys, profile_in, tmp_path):
    @node("toy.allocate")
    def allocate(ctx: Context, floats: int = 2**20) -> One:
        """Make and drop a tensor."""
        return One(float(torch.ones(floats).sum()))

    toys.module.allocate = allocate
    flow = {"format": 1, "nodes": {"a": {"type": "toy.allocate"}}, "outputs": {"sum": "a.value"}}
    run = inlay.run(flow, nodes=[toys.module], out=tmp_path, device="cpu", profile=tmp_path / "p")
    found = profile_in(run.profile).nodes["a"]
    assert 4 * 2**20 <= found["memory"]["made"] <= 4 * 2**20 + 64
    assert found["peak_bytes"] == found["memory"]["made"] + found["memory"]["resident"]


def test_bytes_of_weights_are_those_of_their_files(sampled, small_job, profile_in, tmp_path):
    def bytes_of(folder):
        total = 0
        for path in folder.glob("*.safetensors"):
            with safe_open(path, "pt") as file:
                total += sum(file.get_tensor(name).numel() * 4 for name in file.keys())  # noqa: SIM118 - no dict
        return total

    first = profile_in(sampled(cache=False, profile=tmp_path / "a").profile)
    again = profile_in(sampled(cache=False, profile=tmp_path / "b").profile)
    expected = sum(bytes_of(Path(small_job["source"], part)) for part in ("unet", "vae", "text_encoder"))
    moved = first.data["totals"]["bytes_moved"]
    assert moved["read"] == pytest.approx(expected, rel=0.001)  # buffers count too
    assert (moved["to_device"], moved["to_host"], moved["dropped"]) == (0, 0, 0)
    assert again.data["totals"]["bytes_moved"]["read"] == 0  # they are still in memory


def test_results_that_were_kept_are_said_to_be_from_memory_or_from_disk(sampled, profile_in, tmp_path, monkeypatch):
    sampled(profile=tmp_path / "made")
    memory = profile_in(sampled(profile=tmp_path / "memory").profile)
    assert memory.data["totals"]["found"]["memory"] > 0
    assert "sample" not in memory.nodes or memory.nodes["sample"]["result"] == "memory"
    monkeypatch.setattr("inlay.graph_runtime.front.kept_between_runs._kept", {})  # a new Python
    disk = profile_in(sampled(profile=tmp_path / "disk").profile)
    assert disk.data["totals"]["found"]["disk"] > 0
    assert disk.data["totals"]["found"]["memory"] == 0
    assert disk.data["totals"]["model_calls"] == 0


def test_calls_of_two_runs_that_share_a_model_are_told_apart():
    class Sink:
        def __init__(self):
            self.calls = []

        def called(self, call):
            self.calls.append(call)

        def marks(self):
            return None

    line = torch.nn.Linear(2, 2)
    sinks = {3: Sink(), 5: Sink()}
    meet = threading.Barrier(2)

    def work(count):
        with calls_told_to(sinks[count]), timed("line", line):
            meet.wait()
            for _ in range(count):
                line(torch.zeros(count, 2))
            meet.wait()
            assert "forward" in vars(line)

    threads = [threading.Thread(target=work, args=(count,)) for count in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {count: len(sink.calls) for count, sink in sinks.items()} == {3: 3, 5: 5}
    assert {call.rows for call in sinks[5].calls} == {5}
    assert "forward" not in vars(line)


def test_a_call_within_a_call_is_a_part_of_it_and_a_failing_one_counts():
    class Pair(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(2, 2)

        def forward(self, x):
            return self.inner(x)

    calls = []
    sink = type("Sink", (), {"called": lambda self, call: calls.append(call), "marks": lambda self: None})()
    pair = Pair()
    pair.forward = pair.forward  # what somebody else has put there stays
    before = pair.forward
    with calls_told_to(sink), timed("pair", pair):
        pair(torch.zeros(1, 2))
        with pytest.raises(RuntimeError):
            pair(torch.zeros(1, 3))
    assert [call.name for call in calls] == ["forward", "forward"]
    assert pair.forward is before


def test_a_failing_run_has_its_profile_up_to_the_failure(toys, profile_in, tmp_path):
    @node("toy.fail")
    def fail(a: Number, ctx: Context) -> One:
        """Fail."""
        raise RuntimeError("not <today>")

    toys.module.fail = fail
    nodes = {"one": {"type": "toy.constant"}, "bad": {"type": "toy.fail", "inputs": {"a": "one.value"}}}
    flow = {"format": 1, "nodes": nodes, "outputs": {"value": "bad.value"}}
    with pytest.raises(NodeError, match="not <today>"):
        inlay.run(flow, nodes=[toys.module], out=tmp_path, device="cpu", cache=False, profile=tmp_path / "p")
    profile = profile_in(tmp_path / "p")
    assert profile.data["status"] == "failed"
    assert "bad" in profile.data["error"]
    assert "not <today>" in profile.data["error"]
    assert [node["name"] for node in profile.data["nodes"]] == ["one", "bad"]


def test_a_cancelled_run_has_its_profile(sampled, profile_in, tmp_path):
    token = inlay.CancelToken()

    def stop(event):
        if isinstance(event, NodeProgress) and event.node == "sample":
            token.cancel()

    with pytest.raises(inlay.Cancelled):
        sampled(cache=False, cancel=token, listeners=[stop], profile=tmp_path / "p")
    profile = profile_in(tmp_path / "p")
    assert (profile.data["status"], profile.nodes["sample"]["steps"]) == ("cancelled", 1)
