"""What a person types for a workflow: once each, one value a flag, and values that begin with dashes."""

import json

import inlay as package
import pytest
from PIL import Image


@pytest.fixture
def flow(tmp_path, monkeypatch):
    """Loads a picture and writes a label on it."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (24, 16), (200, 10, 30)).save(tmp_path / "red.png")
    path = tmp_path / "flow.json"
    path.write_text(
        json.dumps(
            {
                "format": 1,
                "inputs": {
                    "image": "photo.path",
                    "label": "sheet.label_1",
                    "other_label": "sheet.label_2",
                    "both": ["sheet.label_1", "sheet.label_2"],
                    "columns": "sheet.columns",
                },
                "nodes": {
                    "photo": {"type": "image.load", "params": {"path": "red.png"}},
                    "sheet": {"type": "image.grid", "inputs": {"image_1": "photo.image", "image_2": "photo.image"}},
                },
                "outputs": {"image": "sheet.image"},
            }
        )
    )
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "sheet.label_1=one", "--set", "sheet.label_1=two"],
        ["--label", "one", "--set", "sheet.label_1=two"],
        ["--label", "one", "--both", "two"],
    ],
)
@pytest.mark.parametrize("verb", ["run", "check"])
def test_two_values_for_one_setting_are_refused_with_both(flow, command, verb, words):
    done = command(verb, flow, *words)
    assert done.returncode == 2
    assert "one" in done.stderr
    assert "two" in done.stderr
    assert "expected  one value" in done.stderr or "expected one value" in done.stderr
    assert not (flow.parent / "inlay-out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--label", "one", "--label", "two"],
        ["--label=one", "--label", "two"],
        ["--other_label", "one", "--other-label", "two"],
        ["--out", "one", "--out", "two"],
        ["--inputs", "one", "--inputs", "two"],
        ["--device", "one", "--device", "two"],
    ],
)
def test_of_a_flag_that_is_given_twice_the_last_counts_and_that_is_said(flow, command, words):
    (flow.parent / "two").mkdir()
    done = command("check", flow, *words)
    assert "given twice: 'two' is used, 'one' is not" in done.stderr
    assert done.returncode == (2 if "--device" in words else 0)


def test_the_same_value_twice_is_no_news(flow, command):
    assert "twice" not in command("check", flow, "--label", "one", "--label", "one").stderr


def test_the_same_things_once_are_fine(flow, command):
    assert (
        command(
            "check",
            flow,
            "--label",
            "one",
            "--set",
            "sheet.label_2=two",
            "--set",
            "sheet.columns=2",
            "--image",
            "red.png",
            "--out",
            "o",
        ).returncode
        == 0
    )


def test_more_words_than_one_are_named_with_the_flag_that_they_follow(flow, command):
    for words in (["--label", "one", "two", "three"], ["--label=one", "two"], ["--label", "two", "two"]):
        done = command("check", flow, *words)
        assert done.returncode == 2
        assert "--label" in done.stderr
        assert "'two' after " in done.stderr
        assert "subject-*" in done.stderr
    done = command("check", flow, "two", "--label", "one")
    assert "a second word, 'two'" in done.stderr
    assert "'two' after 'o'" in command("check", flow, "--out", "o", "two").stderr


@pytest.mark.parametrize("value", ["-red", "--red", "-red cat", "--no dogs", "-h2", "-3", "-"])
def test_a_value_may_begin_with_dashes(flow, command, value):
    for words in (["--label", value], [f"--label={value}"], ["--label", value, "--columns", "2"]):
        done = command("run", flow, *words, "--quiet", "--json")
        assert done.returncode == 0, done.stderr
        out = json.loads(done.stdout)["paths"][0]
        record = json.loads(Image.open(out).text["inlay"])
        assert record["workflow"]["nodes"]["sheet"]["params"]["label_1"] == value


def test_a_picture_whose_name_begins_with_a_dash(flow, command):
    for name in ("-red.png", "-house.png", "--red.png"):
        (flow.parent / "red.png").rename(flow.parent / name)
        assert command("check", flow, "--image", name).returncode == 0
        (flow.parent / name).rename(flow.parent / "red.png")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--label", "--columns", "2"], "expected one argument"),
        (["--label", "--colums", "2"], "--NAME=VALUE"),
        (["--label", "--quiet"], "expected one argument"),
        (["--label"], "expected one argument"),
        (["--labl", "one"], "did you mean 'label'"),
    ],
)
def test_a_flag_is_not_taken_for_a_value(flow, command, words, said):
    done = command("check", flow, *words)
    assert done.returncode == 2
    assert said in done.stderr


def test_python_may_not_say_two_things_either(flow):
    for more in ({"set": {"sheet.label_1": "two"}}, {"both": "two"}):
        problem = package.check(str(flow), label="one", **more)[0]
        assert (problem.node, problem.port) == ("sheet", "label_1")
        assert "'one' and 'two'" in problem.found
    assert package.check(str(flow), label="one", set={"sheet.label_1": "one"}) == []
