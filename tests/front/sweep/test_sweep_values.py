"""The values of a sweep's flags: ranges that hold both ends, lists with quotes, and files of lines."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.front.sweep.axes import ValueAxis, Values
from inlay.graph_runtime.front.sweep.grid import Grid
from inlay.graph_runtime.front.sweep.names import Names
from inlay.graph_runtime.front.sweep.numbers import NoSpread, spread
from inlay.graph_runtime.front.sweep.words import WrongList, lines_of, split


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0..3", "0 1 2 3"),
        ("-2..1", "-2 -1 0 1"),
        ("5..5", "5"),
        ("0..1..0.25", "0 0.25 0.5 0.75 1"),
        ("0..0.3..0.1", "0 0.1 0.2 0.3"),  # floats would give 0.30000000000000004
        ("3..1..-1", "3 2 1"),
        ("9..0..-3", "9 6 3 0"),
        ("0.5..2.5", "0.5 1.5 2.5"),
        ("-1..-0.5..0.25", "-1 -0.75 -0.5"),
        ("1e2..3e2..1e2", "100 200 300"),
        ("0..2e-3..1e-3", "0 0.001 0.002"),
    ],
)
def test_a_range_holds_both_ends_and_is_exact_in_decimal(text, values):
    assert list(spread(text).texts()) == values.split()


@pytest.mark.parametrize(
    "text", ["9..0", "0..1..0.3", "0..9..0", "0..9..-1", "0..", "1..2..", "1.5..3", "1" * 50 + "..2"]
)
def test_a_range_that_holds_not_both_ends_is_refused_with_a_fix(text):
    with pytest.raises(NoSpread) as refused:
        spread(text)
    assert refused.value.expected
    assert refused.value.fix


@pytest.mark.parametrize("text", ["a..b", "wait..what", "5", "..", "..5", "1...3", "1..b"])
def test_what_is_no_range_is_none(text):
    assert spread(text) is None


@given(st.integers(-(10**6), 10**6), st.integers(1, 10**4), st.integers(1, 10**9), st.integers(0, 6))
def test_every_number_of_a_range_is_what_fractions_say(start, step, count, digits):
    scale = 10**digits
    ends = [Decimal(start) / scale, Decimal(start + step * (count - 1)) / scale, Decimal(step) / scale]
    found = spread(f"{ends[0]:f}..{ends[1]:f}..{ends[2]:f}")
    assert found.count == count
    for number in {0, 1 % count, count // 2, count - 1}:
        assert Fraction(found[number]) == Fraction(start + step * number, scale)
        assert found[number] in found
    assert found[count - 1] + ends[2] not in found
    assert found[0] + ends[2] / 2 not in found


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3,5,7", ["3", "5", "7"]),
        ("a cat, a dog", ["a cat", "a dog"]),
        ('"a cat, sitting", a dog', ["a cat, sitting", "a dog"]),
        ('"he said ""no"", twice"', ['he said "no", twice']),
        ('""', [""]),
        ("[1,2],[3,4]", ["[1,2]", "[3,4]"]),
        ('[["a,b"],{"c":"],"}],x', ['[["a,b"],{"c":"],"}]', "x"]),
        ("a (b, c", ["a (b", "c"]),
        ("[not json, b", ["[not json", "b"]),
    ],
)
def test_commas_part_values_but_not_inside_quotes_or_json(text, values):
    assert [value for value, _ in split(text)] == values


@pytest.mark.parametrize("text", ["3,,5", "3,", ",3", '"open', '"a"b', " "])
def test_empty_values_and_open_quotes_are_refused(text):
    with pytest.raises(WrongList):
        list(split(text))


@given(st.lists(st.text(), min_size=1, max_size=6))
def test_what_is_quoted_comes_back_as_it_was(values):
    text = ",".join('"' + value.replace('"', '""') + '"' for value in values)
    assert [value for value, _ in split(text)] == values


def test_a_file_of_values_has_one_a_line(tmp_path):
    (tmp_path / "words.txt").write_bytes("\ufeffa cat, red\r\n\n  ein Hünd  \n#00ff00\n".encode())
    assert lines_of(str(tmp_path / "words.txt"), "--list prompt") == ["a cat, red", "ein Hünd", "#00ff00"]


def test_a_file_of_values_that_is_no_text_is_refused_by_flag_and_name(tmp_path):
    cases = {"empty": b"\n \n", "binary": b"a\0b\n", "latin": b"\xfftext\n", "huge": b"x" * (64 * 2**20 + 1)}
    for name, contents in cases.items():
        (tmp_path / name).write_bytes(contents)
    for name in [*cases, "missing", "folder", "/dev/zero"]:
        (tmp_path / "folder").mkdir(exist_ok=True)
        path = name if name.startswith("/") else str(tmp_path / name)
        with pytest.raises(WorkflowError) as refused:
            lines_of(path, "--list prompt")
        assert refused.value.problems[0].port == "--list prompt"
        assert path.rpartition("/")[2] in refused.value.problems[0].found
        assert str(tmp_path) not in str(refused.value)


def axis(name, *values, is_path=False):
    return ValueAxis(name, f"--grid {name}", (), Values((tuple(values),)), True, is_path)


def ranged(name, text):
    return ValueAxis(name, f"--grid {name}", (), Values((spread(text),), json.loads), True)


@given(st.data())
def test_every_combination_comes_once_in_every_order(data):
    counts = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    slow = data.draw(st.permutations(range(len(counts))))
    grid = Grid([ranged(f"a{at}", f"1..{count}") for at, count in enumerate(counts)], slow)
    jobs = data.draw(st.integers(1, 4))
    numbers = list(grid.order())
    assert sorted(numbers) == list(range(grid.total))
    assert [number for block in grid.blocks(jobs) for number in block] == numbers
    assert [grid.number(grid.digits(number)) for number in numbers] == numbers
    seen = [tuple(grid[number].values.items()) for number in numbers]
    assert len(set(seen)) == grid.total
    outermost = [grid.digits(number)[slow[0]] for number in numbers]
    assert outermost == sorted(outermost)  # the slowest changes only when all others are through


def test_a_grid_of_ten_to_the_eighteen_is_never_written_out():
    grid = Grid([ranged("a", "0..999999999"), ranged("b", "0..999999999")])
    assert grid.total == 10**18
    assert grid[10**18 - 1].values == {"a": 999999999, "b": 999999999}
    assert next(grid.order(10**18 - 1)) == 10**18 - 1
    assert next(next(grid.blocks(4))) == 0


def test_names_say_the_values_on_every_system_and_never_twice():
    texts = [
        "a cat",
        "A cat",
        "a/cat",
        "a\\cat",
        "CON",
        "x" * 500,
        "é",
        "e\u0301",
        "a=b",
        "a_b",
        "日本",
        "  ",
        "a.",
        "",
        "\n",
        "%",
    ]
    numbers = [1, -1, 1.5, 1e-7, True, None, [1, 2]]
    both = [axis("prompt", *texts, *numbers), ranged("seed", "-3..3")]
    names = [Names(both).name((text, seed)) for text in range(len(texts + numbers)) for seed in range(7)]
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert not set(name) & set('<>:"/\\|?*\0\n%')
        assert name == name.strip(" .")
    assert Names(both).name((0, 0)).startswith("prompt=a cat-")  # beside `A cat`
    assert Names([axis("prompt", "a cat", "a dog"), ranged("seed", "-3..3")]).name((0, 0)) == "prompt=a cat_seed=-3"


def test_a_path_is_named_without_its_folders():
    paths = axis("lora", "/home/me/secret/a.safetensors", "/other/a.safetensors", is_path=True)
    names = [Names([paths]).name((number,)) for number in range(2)]
    assert len(set(names)) == 2
    assert all("secret" not in name and "home" not in name for name in names)
    assert paths.label(0) == "a.safetensors"
