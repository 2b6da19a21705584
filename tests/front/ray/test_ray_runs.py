"""Runs made by workers that share nothing with us: what they read, what is written here, and what is refused."""

import hashlib
import http.server
import json
import socket
import threading
import time
import types
from dataclasses import dataclass, field
from pathlib import Path

import inlay
import pytest
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.core.events import ItemFinished
from inlay.graph_runtime.front.jobs.pool import Deal
from inlay.graph_runtime.front.ray import connect, contents, scratch
from inlay.graph_runtime.front.ray.contents import Contents, parcel_of
from inlay.graph_runtime.front.ray.dispatch import Dispatch, News
from inlay.graph_runtime.front.ray.engine import told_to_all
from inlay.graph_runtime.front.ray.runs import SweepRuns
from inlay.graph_runtime.front.ray.scratch import Damaged, Scratch
from inlay.graph_runtime.front.ray.worker import Maker
from inlay.graph_runtime.front.sweep import engine as engines
from PIL import Image as Pil

FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "mask": "hole.path", "seed": "fill.seed", "fill": "fill.fill"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "hole": {"type": "mask.load", "params": {"path": "hole.png"}},
        "fill": {
            "type": "image.fill",
            "params": {"fill": "noise"},
            "inputs": {"image": "photo.image", "mask": "hole.mask"},
        },
        "score": {"type": "metric.psnr", "inputs": {"image": "fill.image", "reference": "photo.image"}},
        "unused": {"type": "image.load", "params": {"path": "unused.png"}},
    },
    "outputs": {"image": "fill.image"},
}


class InThisProcess:
    """A cluster whose workers are objects here; messages go through JSON or bytes, as they would elsewhere."""

    def __init__(self, told, loses=lambda number: False, hello=lambda hello: hello):
        self.told, self.loses, self.hello = told, loses, hello
        self.store, self.puts, self.fetches, self.waiting, self.makers = {}, 0, 0, [], {}
        self.given = []

    def put(self, piece):
        self.puts += 1
        self.store[self.puts] = piece
        return self.puts

    def fetch(self, ref):
        self.fetches += 1
        return self.store[ref]

    def start(self, slot):
        self.makers[slot] = Maker(json.loads(json.dumps(self.told)), self.fetch)
        self.waiting.append(News(slot, "ready", self.hello(self.makers[slot].hello())))

    def give(self, slot, message):
        self.given.append(message)
        if self.loses(len(self.given)):
            self.waiting.append(News(slot, "lost", {"why": "killed"}))
        else:
            self.waiting.append(News(slot, "made", self.makers[slot].make(json.loads(json.dumps(message)))))

    def news(self, seconds):
        while self.waiting:
            yield self.waiting.pop(0)

    def close(self):
        for maker in self.makers.values():
            maker.end()


@dataclass
class Elsewhere:
    """The engine with such a cluster."""

    workers: int = 2
    options: dict = field(default_factory=dict)
    cluster: InThisProcess | None = None

    def runs(self, work, ctx):
        self.cluster = InThisProcess(told_to_all(work, [], 1, "cpu"), **self.options)
        runs = SweepRuns(
            work.job, work.how, Deal(work.grid.blocks(self.workers)), self.cluster.put, ctx, work.grid.total
        )
        dispatch = Dispatch(self.cluster, runs, self.workers, ctx.check_cancelled)
        yield from dispatch.outcomes()


@pytest.fixture
def elsewhere(monkeypatch):
    made = Elsewhere()
    monkeypatch.setattr(engines, "ENGINES", {**engines.ENGINES, "elsewhere": lambda jobs, address: made})
    return made


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.json").write_text(json.dumps(FLOW))
    (tmp_path / "photos").mkdir()
    Pil.new("RGB", (8, 8)).save(tmp_path / "unused.png")
    for number in range(2):
        photo = Pil.linear_gradient("L").resize((24 + number, 16)).convert("RGB")
        photo.save(tmp_path / "photos" / f"p{number}.png")
        hole = Pil.new("L", photo.size, 0)
        hole.paste(255, (4, 4, 12, 12))
        hole.save(tmp_path / "photos" / f"p{number}_mask.png")
    return tmp_path


def sha256s(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*.png"))
    }


def sweep(engine, out, **more):
    asked = {"grid": {"seed": range(3)}, "images": "photos", "best": "score", "cache": False} | more
    return inlay.sweep("flow.json", engine=engine, out=out, progress=False, **asked)


def test_files_are_the_same_bytes_as_local_and_each_input_is_sent_once(here, elsewhere):
    local, away = sweep("local", "local"), sweep("elsewhere", "away")
    assert sha256s("local") == sha256s("away")
    assert [dict(row.numbers) for row in local] == [dict(row.numbers) for row in away]
    assert away.tally.done == 6
    assert elsewhere.cluster.puts == 4, "two pictures and two masks"
    assert elsewhere.cluster.fetches == 4, "and once on this machine, whichever worker needs them"
    assert not any("photos" in json.dumps(one["parcels"]) for one in elsewhere.cluster.given)


def test_a_sweep_goes_on_elsewhere_and_back_again(here, elsewhere):
    sweep("local", "out", grid={"seed": range(2)})
    assert (away := sweep("elsewhere", "out")).tally.known == 4
    assert away.tally.done == 2
    assert sweep("local", "out").tally.known == 6
    assert sweep("elsewhere", "out").tally.known == 6
    assert len(elsewhere.cluster.given) == 0, "what is known goes nowhere"


def test_a_run_of_a_lost_worker_is_made_again_with_the_same_bytes(here, elsewhere):
    sweep("local", "local")
    elsewhere.options = {"loses": lambda number: number in (2, 3, 5)}
    done = sweep("elsewhere", "away")
    assert done.tally.done == 6
    assert sha256s("local") == sha256s("away")
    assert len(elsewhere.cluster.given) == 9


def test_another_version_is_refused_by_name_and_nothing_runs(here, elsewhere):
    for change, name in (("inlay", "9.9"), ("torch", "1.13")):

        def hello(told, change=change, name=name):
            return told | {"node": "gpu-7", "parts": told["parts"] | {f"the version of {change}": name}}

        elsewhere.options = {"hello": hello}
        with pytest.raises(WorkflowError, match=rf"gpu-7 has {change} {name} \(here "):
            sweep("elsewhere", "away")
        assert not elsewhere.cluster.given
    elsewhere.options = {
        "hello": lambda told: {"node": "gpu-7", "error": "ModuleNotFoundError: No module named 'inlay'"}
    }
    with pytest.raises(WorkflowError, match="inlay does not start on gpu-7: ModuleNotFoundError"):
        sweep("elsewhere", "away")


def test_a_worker_on_another_processor_is_left_out_with_a_warning(here, elsewhere):
    count = iter(range(9))

    def hello(told):
        other = {"the processor": "another one"} if next(count) == 1 else {}
        return told | {"parts": told["parts"] | other}

    elsewhere.options = {"hello": hello}
    done = sweep("elsewhere", "away")
    assert done.tally.done == 6
    assert any("is left out" in one.message and "the processor" in one.message for one in done.warnings)


def test_a_failure_is_that_of_its_run_alone(here, elsewhere):
    (here / "photos" / "p1.png").write_bytes(b"no picture")
    events = []
    local, away = sweep("local", "local"), sweep("elsewhere", "away", listeners=[events.append])
    assert (away.tally.done, away.tally.failed) == (local.tally.done, local.tally.failed) == (3, 3)
    problems = [[str(one) for row in made.failed for one in row.outcome.problems] for made in (local, away)]
    assert problems[0] == problems[1]
    assert sum(isinstance(event, ItemFinished) for event in events) == 6


def test_what_could_not_be_written_is_a_failure_and_what_is_somebody_elses_stays(here, elsewhere):
    sweep("elsewhere", "probe")
    (here / "away").mkdir()
    name = next(iter(sha256s("probe")))
    for other in sha256s("probe"):
        (here / "away" / other).parent.mkdir(exist_ok=True, parents=True)
    (here / "away" / name).write_bytes(b"mine")
    (here / "local").mkdir()
    (here / "local" / name).parent.mkdir(exist_ok=True, parents=True)
    (here / "local" / name).write_bytes(b"mine")
    sweep("elsewhere", "away")
    sweep("local", "local")
    assert sha256s("away") == sha256s("local")
    assert (here / "away" / name).read_bytes() == b"mine"


def test_parcels_hold_folders_and_patterns_and_come_out_as_they_were(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.txt", "deep/d.png"):
        (tmp_path / "in" / name).write_bytes(name.encode())
    store = []
    made = Contents(lambda piece: store.append(piece) or len(store) - 1)
    for path, names in ((tmp_path / "in", None), (tmp_path / "in" / "*.png", ["a.png", "b.png"])):
        parcel, where = parcel_of(str(path), model=False)
        place = Scratch("a", store.__getitem__).paths({parcel.key: parcel}, made.take(where))[parcel.key]
        root = Path(place) if names is None else Path(place).parent
        assert Path(place).name == path.name
        found = {str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()}
        expected = {"a.png", "b.png", "c.txt"} | {"deep/d.png"} if names is None else set(names)
        assert set(found) <= expected
        assert all(contents == name.encode() for name, contents in found.items())
        assert set(names or ["a.png", "c.txt"]) <= set(found)
    Scratch("a", store.__getitem__).remove()


def test_contents_that_no_run_needs_make_room_and_large_files_go_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "PIECE", 10)
    store = []
    made = Contents(lambda piece: store.append(piece) or len(store) - 1, room=30)
    files = [tmp_path / str(number) for number in range(4)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 25)
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    refs = made.take({digests[0]: files[0]})
    assert [len(store[ref]) for ref in refs[digests[0]]] == [10, 10, 5]
    made.take({digests[1]: files[1]})
    made.give_back([digests[1]])
    assert made.take({digests[0]: files[0]}) == refs, "still there: a run is using it"
    assert made.sent == 50
    made.take({digests[1]: files[1]})
    assert made.sent == 75, "it had made room"


def test_what_comes_damaged_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "a.png").write_bytes(b"whole")
    parcel, where = parcel_of(str(tmp_path / "a.png"), model=False)
    folder = Scratch("b", lambda ref: b"other")
    with pytest.raises(Damaged, match=r"a\.png is not what was sent"):
        folder.paths({parcel.key: parcel}, {digest: [0] for digest in where})
    assert not list((folder.folder / "files").iterdir())
    folder.remove()
    assert not folder.folder.exists()


def test_the_folder_of_a_machine_keeps_within_its_room(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "YOUNG", -1.0)
    folder = Scratch("c", lambda ref: bytes([ref]) * 100, room=450)
    parcels, pieces = [], {}
    for number in range(8):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]) * 100)
        parcel, where = parcel_of(str(tmp_path / f"{number}.png"), model=False)
        parcels.append(parcel)
        pieces |= {digest: [number] for digest in where}
        folder.paths({one.key: one for one in (parcels[0], parcel)}, pieces)
    kept = {one.name for one in (folder.folder / "files").iterdir()}
    assert len(kept) <= 5
    assert {parcels[0].key, parcels[-1].key} <= kept, "what is in use stays"
    folder.remove()


def test_a_missing_package_is_an_error_that_names_the_extra(here, monkeypatch):
    monkeypatch.setattr("inlay.graph_runtime.front.ray.connect.find_spec", lambda name: None)
    with pytest.raises(WorkflowError, match="no package ray") as error:
        sweep("ray", "out")
    assert "pip install 'ray>=2.40': inlay's extra `ray`" in str(error.value)
    assert not (here / "out").exists()


def test_an_address_without_the_engine_is_refused(here):
    with pytest.raises(WorkflowError, match="--engine ray"):
        sweep("local", "out", ray_address="127.0.0.1:6379")


def refused(address):
    began = time.monotonic()
    with pytest.raises(WorkflowError) as error, connect.connected(address, 1):
        pass
    assert time.monotonic() - began < 3 * connect.PATIENCE
    return str(error.value)


@pytest.fixture
def pretended_ray(monkeypatch):
    """Ray as a module that fails when it is asked: an address is judged before that."""
    monkeypatch.setattr(connect, "require_ray", lambda: types.SimpleNamespace(is_initialized=lambda: False))


def test_an_address_where_no_cluster_answers_is_an_error_in_bounded_time(pretended_ray, monkeypatch):
    monkeypatch.setattr(connect, "PATIENCE", 1.0)
    with socket.socket() as silent, socket.socket() as closed:
        for one in (silent, closed):
            one.bind(("127.0.0.1", 0))
        silent.listen()
        port = closed.getsockname()[1]
        assert "refused" in refused(f"127.0.0.1:{port}")
        assert "refused" in refused(f"ray://127.0.0.1:{port}")
        assert "timed out" in refused(f"127.0.0.1:{silent.getsockname()[1]}")
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert "something else than Ray answers there" in refused(f"127.0.0.1:{server.server_port}")
        server.shutdown()
    for wrong in ("nowhere", "host:", "host:port", "host:0", "host:99999", ":6379"):
        assert "HOST:PORT" in refused(wrong)
    assert "no-such-host.invalid" in refused("no-such-host.invalid:6379")
