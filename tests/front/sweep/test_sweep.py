"""Sweeps from Python: what comes out, what is shared, and what goes on after a stop."""

import csv
import itertools
import json
import os
import types
from typing import Annotated, NamedTuple

import inlay
import pytest
from inlay.graph_runtime import Better, Port, node
from inlay.graph_runtime.core.errors import Cancelled, WorkflowError
from inlay.graph_runtime.core.events import CancelToken, ItemFinished, ModelMoved
from inlay.nodes.ports import Image
from PIL import Image as Pil

FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "mask": "hole.path", "seed": "fill.seed", "fill": "fill.fill"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "hole": {"type": "mask.load", "params": {"path": "hole.png"}},
        "grown": {"type": "mask.grow", "params": {"pixels": 0}, "inputs": {"mask": "hole.mask"}},
        "fill": {
            "type": "image.fill",
            "params": {"fill": "noise"},
            "inputs": {"image": "photo.image", "mask": "grown.mask"},
        },
        "score": {"type": "metric.psnr", "inputs": {"image": "fill.image", "reference": "photo.image"}},
    },
    "outputs": {"image": "fill.image"},
}
Number = Annotated[float, Port("NUMBER", "a number")]


class Made(NamedTuple):
    image: Image


class Scored(NamedTuple):
    good: Annotated[Number, Better("lower")]
    plain: Number


def counting():
    """Nodes that note how often they ran, with what."""
    calls = []

    @node("count.base")
    def base(a: int = 0) -> Made:
        """A picture."""
        import torch

        calls.append(f"base {a}")
        return Made(torch.full((1, 8, 8, 3), a / 10))

    @node("count.mix")
    def mix(image: Image, b: int = 0, words: str = "") -> Made:
        """A picture of a picture."""
        calls.append(f"mix {float(image.mean()) * 10:.0f} {b} {words}")
        if b == 13:
            raise RuntimeError("unlucky")
        return Made((image + b / 20).clamp(0, 1))

    @node("count.end")
    def end(image: Image, c: int = 0) -> Made:
        """The last one."""
        calls.append("end")
        return Made((image + c / 40).clamp(0, 1))

    @node("count.score")
    def score(image: Image) -> Scored:
        """A number."""
        calls.append("score")
        return Scored(float(image.mean()), 1.0)

    module = types.SimpleNamespace(base=base, mix=mix, end=end, score=score)
    flow = {
        "format": 1,
        "inputs": {"a": "base.a", "b": "mix.b", "c": "end.c", "words": "mix.words"},
        "nodes": {
            "base": {"type": "count.base"},
            "mix": {"type": "count.mix", "inputs": {"image": "base.image"}},
            "end": {"type": "count.end", "inputs": {"image": "mix.image"}},
            "score": {"type": "count.score", "inputs": {"image": "end.image"}},
        },
        "outputs": {"image": "end.image"},
    }
    return calls, flow, module


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    mask = Pil.new("L", (24, 16))
    mask.paste(255, (6, 4, 12, 8))
    for name in ("a", "b"):
        Pil.linear_gradient("L").rotate(90 * (name == "b")).resize((24, 16)).convert("RGB").save(
            tmp_path / f"in/{name}.png"
        )
        mask.save(tmp_path / f"in/{name}_mask.png")
    mask.save(tmp_path / "mask.png")
    return tmp_path


def sweep(photos, **more):
    shared = {"image": photos / "in/a.png", "mask": photos / "mask.png", "out": photos / "out"}
    return inlay.sweep(FLOW, **{**shared, **more})


def table_of(result):
    with result.table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_flag_multiplies_and_every_picture_runs_again_to_the_same_bytes(photos):
    result = sweep(photos, grid={"seed": "0..2", "fill": "noise,neutral", "grown.pixels": [0, 1]})
    rows = list(result)
    assert [tuple(row.values.values()) for row in rows] == list(
        itertools.product((0, 1, 2), ("noise", "neutral"), (0, 1))
    )
    assert len({row.path for row in rows}) == result.tally.done == 12
    assert rows[0].path.name == "seed=0_fill=noise_grown.pixels=0.png"
    for row in rows[::5]:
        again = inlay.run(row.path, inputs=photos / "in", image=photos / "in/a.png", out=photos / "again")
        assert again.paths[0].read_bytes() == row.path.read_bytes()
        seed, fill, pixels = row.values.values()
        alone = inlay.run(
            FLOW,
            image=photos / "in/a.png",
            mask=photos / "mask.png",
            seed=seed,
            fill=fill,
            set={"grown.pixels": pixels},
        )
        assert alone.pil(output="image").tobytes() == Pil.open(row.path).tobytes()


def test_the_table_has_a_row_for_each_combination_with_every_number(photos):
    result = sweep(photos, grid={"seed": [7, 5], "fill": ["noise"]}, best="score.value")
    rows = table_of(result)
    assert [(row["seed"], row["fill"], row["status"], row["cached"]) for row in rows] == [
        ("7", "noise", "done", ""),
        ("5", "noise", "done", ""),
    ]
    for row, text in zip(result, rows, strict=True):
        assert (photos / "out" / text["file"]).is_file()
        assert float(text["score.value"]) == row.numbers["score.value"]
        assert float(text["seconds"]) > 0
    marked = [row for row in rows if row["best"] == "yes"]
    assert float(marked[0]["score.value"]) == max(float(row["score.value"]) for row in rows)
    assert len(marked) == 1
    assert result.best_file.name == "best.png"
    assert result.best_file.read_bytes() == (photos / "out" / marked[0]["file"]).read_bytes()
    assert [row["cached"] for row in table_of(sweep(photos, grid={"seed": [7, 5]}, fill="noise", out=photos / "two"))]


def test_parquet_says_the_same_as_the_table(photos):
    parquet = pytest.importorskip("pyarrow.parquet")
    result = sweep(photos, grid={"seed": [7, 5], "fill": "noise,neutral"}, best="score.value")
    table = parquet.read_table(result.parquet)
    rows = table_of(result)
    assert table.column("seed").to_pylist() == [7, 7, 5, 5]
    assert [str(table.schema.field(name).type) for name in ("seed", "fill", "score.value", "best")] == [
        "int64",
        "string",
        "double",
        "bool",
    ]
    assert [f"{value!r}" for value in table.column("score.value").to_pylist()] == [row["score.value"] for row in rows]


def test_without_pyarrow_it_says_so_and_writes_the_rest(photos, monkeypatch):
    from inlay.graph_runtime.front.sweep import run_sweep

    monkeypatch.setattr(run_sweep, "find_spec", lambda name: None)
    result = sweep(photos, grid={"seed": "0..1"})
    assert result.parquet is None
    assert not (photos / "out/table.parquet").exists()
    assert any("pip install pyarrow" in str(warning) for warning in result.warnings)
    assert result.table.is_file()


def test_each_common_result_is_computed_once(tmp_path):
    calls, flow, module = counting()
    grid = {"c": range(3), "b": range(2), "a": range(4)}  # in the worst order
    result = inlay.sweep(flow, grid=grid, nodes=[module], out=tmp_path / "out", best="score.good")
    assert result.tally.done == 24
    assert sorted(call for call in calls if call.startswith("base")) == [f"base {a}" for a in range(4)]
    assert sum(call.startswith("mix") for call in calls) == 8
    assert calls.count("end") == 24
    assert calls.count("score") == 24
    assert [tuple(row.values.values()) for row in result] == list(itertools.product(range(3), range(2), range(4)))


def test_each_common_result_is_computed_once_although_the_first_value_fails(tmp_path):
    calls, flow, module = counting()
    grid = {"b": [13, 1, 2], "c": range(3), "a": range(2)}
    result = inlay.sweep(flow, grid=grid, nodes=[module], out=tmp_path / "out")
    assert (result.tally.failed, result.tally.done) == (6, 12)
    assert sorted(call for call in calls if call.startswith("base")) == ["base 0", "base 1"]
    assert calls.count("mix 0 1 ") == calls.count("mix 1 2 ") == 1


def test_each_common_result_is_computed_once_without_a_cache_too(tmp_path):
    calls, flow, module = counting()
    inlay.sweep(flow, grid={"c": range(3), "a": range(2)}, nodes=[module], out=tmp_path / "out", cache=False)
    assert calls.count("base 0") == calls.count("base 1") == 1


def test_the_weights_are_moved_once_in_a_sweep_of_100_runs(tmp_path, shared_sd):
    moved = []
    flow = {
        "format": 1,
        "inputs": {"value": "plane.value"},
        "nodes": {
            "model": {"type": "model.stable_diffusion", "params": {"source": str(shared_sd)}},
            "plane": {"type": "mask.solid", "params": {"width": 16, "height": 16}},
            "picture": {"type": "image.from_mask", "inputs": {"mask": "plane.mask"}},
            "latent": {"type": "latent.encode", "inputs": {"image": "picture.image", "vae": "model.vae"}},
            "image": {"type": "latent.decode", "inputs": {"latent": "latent.latent", "vae": "model.vae"}},
        },
        "outputs": {"image": "image.image"},
    }
    result = inlay.sweep(
        flow,
        grid={"value": "0..0.99..0.01"},
        out=tmp_path / "out",
        device="cpu",
        listeners=[lambda event: moved.append(event.message) if isinstance(event, ModelMoved) else None],
    )
    assert result.tally.done == 100
    assert len([message for message in moved if message.startswith("loaded")]) == 1, moved
    assert not [message for message in moved if message.startswith("evicted")]


def test_a_second_call_makes_only_what_is_missing(photos):
    first = sweep(photos, grid={"seed": "0..3"})
    paths = [row.path for row in first]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in paths]
    paths[1].unlink()
    result = sweep(photos, grid={"seed": "0..5"})
    assert [row.outcome.status for row in result] == ["known", "done", "known", "known", "done", "done"]
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in paths if path != paths[1]] == [
        one for number, one in enumerate(before) if number != 1
    ]
    assert any("other values" in str(warning) for warning in result.warnings)  # not mixed without a word
    assert not list((photos / "out").glob("*_0000*"))


def test_a_folder_that_holds_another_sweep_is_refused_by_what_differs(photos):
    sweep(photos, grid={"seed": "0..1"}, fill="noise")
    before = {path.name: path.read_bytes() for path in (photos / "out").iterdir()}
    for more, word in (
        ({"fill": "neutral"}, "fill.fill was 'noise' and is 'neutral'"),
        ({"set": {"grown.pixels": 2}}, "grown.pixels was 0 and is 2"),
        ({"grid": {"grown.pixels": "0..1"}}, "it varied seed, and now grown.pixels"),
    ):
        with pytest.raises(WorkflowError) as refused:
            sweep(photos, **{"grid": {"seed": "0..1"}, "fill": "noise", **more})
        assert word in str(refused.value)
        assert "--out" in str(refused.value)
    assert {path.name: path.read_bytes() for path in (photos / "out").iterdir()} == before


def test_best_later_reuses_every_picture(photos):
    first = {row.path: row.path.read_bytes() for row in sweep(photos, grid={"seed": "0..2"})}
    result = sweep(photos, grid={"seed": "0..2"}, best="score.value:min")
    assert {row.path: row.path.read_bytes() for row in result} == first
    assert not list((photos / "out").glob("seed*_0000*"))
    assert result.best.numbers["score.value"] == min(row.numbers["score.value"] for row in result)


def test_a_failure_does_not_stop_the_rest(tmp_path):
    _, flow, module = counting()
    result = inlay.sweep(flow, grid={"b": [1, 13, 2], "a": range(2)}, nodes=[module], out=tmp_path / "out")
    assert (result.tally.done, result.tally.failed) == (4, 2)
    assert [row.values for row in result.failed] == [{"b": 13, "a": 0}, {"b": 13, "a": 1}]
    assert "unlucky" in str(result.failed[0].error)
    assert [row["status"] for row in table_of(result)].count("failed") == 2
    assert result.sheets[0].is_file()


def test_a_cancelled_sweep_leaves_table_and_sheet_and_goes_on(photos):
    token = CancelToken()

    def stop(event):
        if isinstance(event, ItemFinished) and event.number == 2:
            token.cancel()

    with pytest.raises(Cancelled, match="2 done of 5; the same command goes on"):
        sweep(photos, grid={"seed": "0..4"}, listeners=[stop], cancel=token)
    with (photos / "out/table.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    assert (photos / "out/sheet.png").is_file()
    result = sweep(photos, grid={"seed": "0..4"})
    assert (result.tally.known, result.tally.done) == (2, 3)


def test_images_bring_the_masks_beside_them(photos):
    result = inlay.sweep(FLOW, images=photos / "in", grid={"seed": "0..1"}, out=photos / "out")
    assert [tuple(row.values.values()) for row in result] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert [row.outcome.inputs["mask"].rpartition("/")[2] for row in result][::2] == ["a_mask.png", "b_mask.png"]


def test_a_damaged_picture_among_others_fails_alone(photos):
    (photos / "in/0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in "ab":
        (photos / f"in/{name}_mask.png").unlink()
    result = inlay.sweep(
        FLOW, images=photos / "in", mask=photos / "mask.png", grid={"seed": "0..1"}, out=photos / "out"
    )
    assert {row.values["image"] for row in result.failed} == {"0"}
    assert (result.tally.failed, result.tally.done) == (2, 4)


def test_nothing_tells_of_the_folders_that_pictures_lie_in(photos):
    grid = {"image": [str(photos / "in/a.png"), str(photos / "in/b.png")]}
    result = inlay.sweep(FLOW, grid=grid, mask=photos / "mask.png", out=photos / "out")
    assert [row.values["image"] for row in result] == ["a.png", "b.png"]
    for path in (photos / "out").iterdir():
        assert str(photos).encode() not in path.read_bytes(), path.name
        assert str(photos) not in path.name


def test_pictures_in_memory_vary_too(photos):
    pictures = [Pil.new("RGB", (24, 16), colour) for colour in ("red", "blue")]
    result = inlay.sweep(FLOW, images=pictures, mask=photos / "mask.png", grid={"seed": [1]}, out=photos / "out")
    assert result.tally.done == 2


WRONG = {
    "an unknown name": ({"grid": {"sed": "0..1"}}, "did you mean 'seed'?"),
    "an unknown setting": ({"grid": {"fill.sed": "0..1"}}, "did you mean 'fill.seed'?"),
    "backwards": ({"grid": {"seed": "9..0"}}, "write 0..9"),
    "words": ({"grid": {"seed": "a..b"}}, "numbers on both sides"),
    "nothing": ({"grid": {"seed": ""}}, "no values"),
    "an empty list": ({"grid": {"seed": []}}, "no values"),
    "an empty range": ({"grid": {"seed": range(0)}}, "no values"),
    "a wrong type": ({"grid": {"seed": "1,two"}}, "'two'"),
    "a wrong choice": ({"grid": {"fill": "noise,nose"}}, "'nose'"),
    "out of bounds": ({"grid": {"seed": "-2..1"}}, "-2"),
    "an input and its setting": ({"grid": {"seed": "0..1", "fill.seed": "0..1"}}, "second flag beside --grid seed"),
    "a shared one": ({"grid": {"seed": "0..1"}, "set": {"fill.seed": 3}}, "second flag beside --set fill.seed"),
    "nothing varies": ({}, "at least one --grid"),
    "too many": ({"grid": {"seed": "0..999999999"}}, "1,000,000,000 combinations"),
    "overlapping ranges": ({"grid": {"seed": "0..5,3..9"}}, "two ranges with numbers in common"),
    "an engine": ({"grid": {"seed": "0..1"}, "engine": "cloud"}, "local"),
    "no such best": ({"grid": {"seed": "0..1"}, "best": "scor.value"}, "did you mean 'score.value'?"),
    "a best that is a picture": ({"grid": {"seed": "0..1"}, "best": "image"}, "a number that a node gives"),
    "a list": ({"grid": [1]}, "values by name"),
    "not a value": ({"grid": {"seed": [object()]}}, "object"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_before_anything_runs(photos, case):
    more, word = WRONG[case]
    with pytest.raises(WorkflowError) as refused:
        sweep(photos, **more)
    assert word in str(refused.value)
    assert not (photos / "out").exists() or not list((photos / "out").iterdir())


def test_all_wrong_values_are_told_at_once_each_once(photos):
    with pytest.raises(WorkflowError) as refused:
        sweep(
            photos, grid={"seed": "0,x", "fill": "noise,nose", "grown.pixels": "0..99999", "sed": "1"}, best="nothing"
        )
    ports = [problem.port for problem in refused.value.problems]
    assert ports == ["--grid seed", "--grid fill", "--grid grown.pixels", "--grid sed", "--best"]


def test_a_value_that_only_the_check_refuses_is_named_with_its_flag(photos):
    with pytest.raises(WorkflowError) as refused:
        inlay.sweep(
            FLOW,
            grid={"image": [str(photos / "in/a.png"), "nowhere.png"]},
            mask=photos / "mask.png",
            out=photos / "out",
        )
    assert "--grid image: nowhere.png" in str(refused.value)
    assert len(refused.value.problems) == 1


def test_a_best_without_a_direction_asks_for_one(tmp_path):
    _, flow, module = counting()
    with pytest.raises(WorkflowError, match=r"score\.plain:max or --best score\.plain:min"):
        inlay.sweep(flow, grid={"a": range(2)}, nodes=[module], best="score.plain", out=tmp_path / "out")
    result = inlay.sweep(flow, grid={"a": range(3)}, nodes=[module], best="score.good", out=tmp_path / "out")
    assert result.best.values == {"a": 0}  # lower is better


def test_values_that_are_there_twice_are_made_once_with_a_note(photos):
    result = sweep(photos, grid={"seed": "0..2,1,5,5"})
    assert [row.values["seed"] for row in result] == [0, 1, 2, 5]
    assert any("2 values are there twice" in str(warning) for warning in result.warnings)


def test_the_named_workflow_sweeps_over_its_options(photos):
    result = inlay.sweep(
        "inpaint",
        grid={"seed": "0..1", "grow": "0,2"},
        image=photos / "in/a.png",
        mask=photos / "mask.png",
        method="patches",
        out=photos / "out",
    )
    assert (result.tally.done, result.tally.failed) == (4, 0)
    assert next(row.path.name for row in result) == "seed=0_grow=0.png"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that die so")
def test_several_processes_make_the_same_bytes(photos):
    one = {row.path.name: row.path.read_bytes() for row in sweep(photos, grid={"seed": "0..5", "fill": "noise,blur"})}
    result = sweep(photos, grid={"seed": "0..5", "fill": "noise,blur"}, jobs=2, out=photos / "two")
    assert {row.path.name: row.path.read_bytes() for row in result} == one


def test_what_sweep_json_says_is_read_with_care(photos):
    (photos / "out").mkdir()
    (photos / "out/sweep.json").write_text(json.dumps({"inlay": "sweep", "nodes": [], "shared": 3}))
    result = sweep(photos, grid={"seed": "0..1"})
    assert result.tally.done == 2
    assert json.loads((photos / "out/sweep.json").read_text())["shared"] == 3  # somebody else's file stays
