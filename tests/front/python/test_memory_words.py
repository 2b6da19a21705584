"""One grammar of sizes, whoever is told one: the command line, Python, ComfyUI and the environment."""

import inlay
import pytest
import torch
from gpus.sized_gpu import SizedGpu
from inlay.graph_runtime import WorkflowError
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.front import kept_between_runs
from inlay.graph_runtime.front.cli.main import main
from inlay.graph_runtime.front.comfy.host import memory as host_memory
from inlay.graph_runtime.front.device import parse_memory

SIZES = {
    "6gb": 6 * 10**9,
    "6GB": 6 * 10**9,
    "6 GiB": 6 * 2**30,
    " 1.5g ": 1_500_000_000,
    "500MB": 500 * 10**6,
    "2k": 2000,
    "6": 6,
    "9000TB": 9000 * 10**12,  # bounds nothing, which a run says
}
NO_SIZES = ["-1GB", "-6", "6 apples", "GB", "1e9", "6GB6", "٣GB", "nan", "inf", "6,5GB", "9" * 40]


def host_budget(text, monkeypatch):
    monkeypatch.setenv("INLAY_MEMORY", text)
    host_memory.model_manager.cache_clear()
    try:
        return host_memory.model_manager().budget
    finally:
        host_memory.model_manager.cache_clear()


def from_environment(name, read):
    def asked(text, monkeypatch):
        monkeypatch.setenv(name, text)
        return read()

    return asked


READERS = {
    "memory": lambda text, monkeypatch: parse_memory(text),
    "INLAY_MEMORY": host_budget,
    "INLAY_CPU_MEMORY": from_environment("INLAY_CPU_MEMORY", kept_between_runs.cpu_limit),
    "INLAY_KEPT_RESULTS": from_environment("INLAY_KEPT_RESULTS", kept_between_runs.results_limit),
}


@pytest.mark.parametrize("setting", READERS)
def test_every_setting_reads_the_same_sizes_and_refuses_the_same_words_by_its_name(setting, monkeypatch):
    read = READERS[setting]
    for text, size in SIZES.items():
        assert read(text, monkeypatch) == size, text
    for text in NO_SIZES:
        with pytest.raises(WorkflowError) as caught:
            read(text, monkeypatch)
        [problem] = caught.value.problems
        assert problem.port == setting or problem.node == setting or setting in str(caught.value)
        assert "GB" in problem.fix
        assert len(problem.found) < 200


def test_nought_and_nothing_mean_what_the_guide_says(monkeypatch):
    for setting in ("memory", "INLAY_MEMORY"):
        with pytest.raises(WorkflowError, match=setting):
            READERS[setting]("0", monkeypatch)
    assert READERS["INLAY_CPU_MEMORY"]("0", monkeypatch) == READERS["INLAY_KEPT_RESULTS"]("0", monkeypatch) == 0
    with pytest.raises(WorkflowError, match="memory"):
        parse_memory("")
    for name in ("INLAY_MEMORY", "INLAY_CPU_MEMORY"):
        assert READERS[name]("", monkeypatch) is None
    assert READERS["INLAY_KEPT_RESULTS"]("", monkeypatch) == 2**30


@pytest.mark.parametrize("text", ["0", "-1GB", "6 apples", ""])
@pytest.mark.parametrize("command", ["run", "check", "sweep", "job", "serve"])
def test_every_command_refuses_what_is_no_budget_before_it_does_anything(command, text, tmp_path, capsys):
    file = tmp_path / "flow.json"
    file.write_text('{"format": 1, "nodes": {"a": {"type": "mask.load", "params": {"path": "a.png"}}}, "outputs": {}}')
    (tmp_path / "pictures").mkdir()
    words = {
        "run": ["run", str(file)],
        "check": ["check", str(file)],
        "sweep": ["sweep", "zero_shot_inpaint", "--grid", "seed=0..1"],
        "job": ["run", str(file), "--set", f"a.path={tmp_path / 'pictures'}"],
        "serve": ["serve", "--port", "0"],
    }[command]
    status = main([*words, f"--memory={text}", *(() if command == "check" else ("--out", str(tmp_path / "out")))])
    said = capsys.readouterr()
    assert status == 2
    assert "memory" in said.err + said.out
    assert not (tmp_path / "out").exists()


class Net(ModelDescription):
    label = fingerprint = ""

    def __init__(self, name):
        self.label = self.fingerprint = name

    def load(self, device):
        return torch.nn.Linear(256, 1, bias=False).to(device)

    def nbytes(self):
        return 1024


@pytest.mark.parametrize(("limit", "waiting"), [("2500", ["b", "c"]), ("0", []), ("1kb", []), ("1KiB", ["c"])])
def test_evictions_keep_the_cpu_memory_that_the_environment_allows(limit, waiting, monkeypatch):
    monkeypatch.setenv("INLAY_CPU_MEMORY", limit)
    kept_between_runs.forget(results=True)
    with SizedGpu(memory=2**20):
        manager, _ = kept_between_runs.kept_between_runs("cuda:0", 1500)
        for name in "abcd":
            with manager.lease(Net(name)):
                assert sum(size for _, size in manager._aside.sizes()) <= manager._aside.limit
        assert manager.set_aside() == waiting
    kept_between_runs.forget(results=True)


def test_results_that_a_process_keeps_stay_within_the_environments_limit(monkeypatch):
    monkeypatch.setenv("INLAY_KEPT_RESULTS", "10kb")
    kept_between_runs.forget(results=True)
    _, results = kept_between_runs.kept_between_runs("cpu", None)
    for number in range(5):
        results.put(bytes([number]), ((torch.ones(1000),), ()))
        assert results.bytes <= 10_000
    assert [results.get(bytes([number])) is not None for number in range(5)] == [False, False, False, True, True]
    kept_between_runs.forget(results=True)
    monkeypatch.setenv("INLAY_KEPT_RESULTS", "much")
    with pytest.raises(WorkflowError, match="INLAY_KEPT_RESULTS"):
        inlay.run("zero_shot_inpaint", device="cpu")
