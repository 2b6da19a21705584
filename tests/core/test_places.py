"""One decision how text becomes a folder and a pattern, for the check and for the nodes; no look outside the roots."""

import glob
import os
import random
import sys
from pathlib import Path

import pytest
from inlay.graph_runtime import BadInput
from inlay.graph_runtime.core.opening import Gate, reading
from inlay.graph_runtime.core.reading import places
from inlay.graph_runtime.core.reading.listing import Budget, listed, listing_at, refuse_links_out
from inlay.graph_runtime.core.reading.places import Place, place_inside, place_of
from inlay.graph_runtime.core.reading.reader import Reader, resolve_inside
from inlay.graph_runtime.core.spec import PathRole

ODD = ["*", "?????", "[s]ecret", "**", "photos[1]", "[!a]", "a?c", "[", "]", "*.png", "[[]x]"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="such names and links are not for Windows")


@pytest.fixture
def work(tmp_path):
    """Folders with odd names side by side, each with a picture of its own, and folders that they would match."""
    for name in [*ODD, "secret", "photos1", "abc", "x"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_text(name)
    return tmp_path.resolve()


def touch(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def found(place, roots=None):
    return [entry.path for entry in listing_at(place, roots).entries]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("pattern", ["*.png", "?.png", "[a].png", "*"])
def test_a_folder_that_exists_as_written_is_that_folder_alone(work, name, pattern):
    for place in (place_inside(f"{name}/{pattern}", [work]), place_of(work / name / pattern)):
        assert place == Place(work / name, (pattern,))
        assert [path.read_text() for path in found(place)] == [name]
    for place in (place_inside(pattern, [work / name]), place_inside(str(work / name / pattern), [work / name])):
        assert place == Place(work / name, (pattern,))


@pytest.mark.parametrize("name", ["*.png", "[1].png", "a?.png"])
def test_a_file_that_exists_as_written_is_that_file_alone(tmp_path, name):
    tmp_path = tmp_path.resolve()
    for other in (name, "1.png", "ab.png"):
        touch(tmp_path / "in" / other)
    assert place_inside(f"in/{name}", [tmp_path]) == place_of(tmp_path / "in" / name) == Place(tmp_path / "in" / name)
    assert found(Place(tmp_path, ("*", name))) == [tmp_path / "in" / name]


def test_patterns_match_what_the_standard_library_matches(tmp_path):
    """On trees whose names hold no `*`, `?` or `[`, glob.glob is the oracle; only the literal reading differs."""
    tmp_path, chance = tmp_path.resolve(), random.Random(1)
    for _ in range(120):
        depth = chance.randint(0, 2)
        parts = ["".join(chance.choices("ab.-1", k=chance.randint(1, 3))) for _ in range(depth + 1)]
        if not any(part.strip(".") == "" for part in parts) and not (tmp_path / Path(*parts)).exists():
            try:
                touch(tmp_path / Path(*parts))
            except (FileExistsError, NotADirectoryError):
                continue
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "loop").symlink_to(".")
    for _ in range(300):
        parts = ["".join(chance.choices("ab*?.[]-1", k=chance.randint(1, 4))) for _ in range(chance.randint(1, 3))]
        if any(part in (".", "..") for part in parts) or not any(places.is_pattern(part) for part in parts):
            continue
        text = os.path.join(tmp_path, *parts)
        place = place_of(text)
        mine = found(place) if place.pattern else [path for path in [place.base] if path.exists()]
        if not place.pattern and place.base != Path(text):
            continue  # through a link: the real path
        base = os.path.join(glob.escape(str(place.base)), *place.pattern)
        assert sorted(map(str, mine)) == sorted(glob.glob(base)), text


@pytest.mark.parametrize(
    "text", ["a/../../out/x", "/etc/passwd", "in/link/x", "in/../../out", "in/up/out/x", "..", "/"]
)
def test_what_leads_out_is_refused_the_same_whether_it_exists_or_not(tmp_path, text):
    root = tmp_path.resolve() / "root"
    touch(root / "in/a.png")
    (root / "in/link").symlink_to(tmp_path / "out")
    (root / "in/up").symlink_to("../..")
    said = set()
    for there in (False, True):
        if there:
            touch(tmp_path / "out/x")
            touch(root / "a/b")
        with pytest.raises(BadInput, match=r"leads out|points outside") as caught:
            resolve_inside(text, [root])
        said.add(str(caught.value))
    assert len(said) == 1


def test_nothing_outside_the_roots_is_even_looked_at(tmp_path, monkeypatch):
    root = tmp_path.resolve() / "root"
    touch(root / "in/a.png")
    (root / "link").symlink_to(tmp_path / "out")
    (root / "relative").symlink_to("../out/secret")
    touch(tmp_path / "out/secret")
    looked, real = [], os.lstat
    monkeypatch.setattr(os, "lstat", lambda path, **how: looked.append(str(path)) or real(path, **how))
    for text in ("link/secret", "relative", "../out/secret", str(tmp_path / "out/secret"), "../out/../root/in/a.png"):
        roots = [root]
        assert place_inside(text, roots, real=str) is None  # the roots are real
    assert looked
    assert [path for path in looked if not path.startswith(str(root))] == []


def test_a_path_may_climb_up_and_down_again_to_a_root(tmp_path):
    tmp_path = tmp_path.resolve()
    touch(tmp_path / "flows/a.json")
    picture = touch(tmp_path / "photos/a.png")
    (tmp_path / "flows/link").symlink_to(picture)
    roots = [tmp_path / "flows", tmp_path / "photos"]
    for text in ("../photos/a.png", "../flows/../photos/a.png", str(picture), "link", "a.png"):
        assert place_inside(text, roots) == Place(picture), text
    alias = tmp_path / "alias"
    alias.symlink_to(tmp_path / "photos")
    assert place_inside(str(alias / "a.png"), [alias]) == Place(picture)
    assert place_inside("a.png", [alias]) == Place(picture)


def test_where_a_path_exists_as_written_wins_over_where_it_is_a_pattern(tmp_path):
    tmp_path = tmp_path.resolve()
    one, two = tmp_path / "one", tmp_path / "two"
    touch(one / "photos1/a.png")
    touch(two / "photos[1]/a.png")
    assert place_inside("photos[1]/*.png", [one, two]) == Place(two / "photos[1]", ("*.png",))
    assert place_inside("photos[2]/*.png", [one, two]) == Place(one, ("photos[2]", "*.png"))


def test_a_pattern_does_not_climb(tmp_path):
    touch(tmp_path / "root/a/b.png")
    assert place_inside("*/../../x", [tmp_path / "root"]) is None


def test_the_target_of_a_link_is_no_pattern(tmp_path):
    root = tmp_path.resolve() / "root"
    touch(root / "photos1/a.png")
    (root / "link").symlink_to("photos[1]/*.png")
    assert place_inside("link", [root]).pattern == ()
    assert listing_at(place_inside("link", [root]), [root]).kind == "missing"


@pytest.mark.parametrize("text", ["*", "*/*.png", "sub", "sub/*", "**/*.png", "s*/l*"])
def test_a_link_in_a_folder_or_a_pattern_is_not_followed_out(tmp_path, text):
    root = tmp_path.resolve() / "root"
    touch(root / "sub/a.png")
    touch(tmp_path / "out/b.png")
    (root / "sub/link.png").symlink_to(tmp_path / "out/b.png")
    (root / "dir").symlink_to(tmp_path / "out")
    place = place_inside(text, [root])
    with pytest.raises(BadInput, match="a link that leads out"):
        listing_at(place, [root])
    assert listing_at(place).entries  # a path that the user typed


def test_links_in_a_circle_end(tmp_path):
    root = tmp_path.resolve()
    touch(root / "a/x.png")
    (root / "a/self").symlink_to(".")
    (root / "a/up").symlink_to("..")
    (root / "round").symlink_to("circle")
    (root / "circle").symlink_to("round")
    assert place_inside("round/x", [root]) is not None
    assert {entry.kind for entry in listing_at(Place(root), [root]).entries} == {"folder", "other"}
    assert len(found(Place(root, ("*",) * 12), [root])) < 2**14
    refuse_links_out(Place(root), [root], Budget(200))


def test_listing_is_bounded(tmp_path):
    for number in range(40):
        touch(tmp_path / f"{number % 4}" / f"{number}.png")
    (tmp_path / "0/loop").symlink_to("..")
    for place in (Place(tmp_path / "0"), Place(tmp_path, ("*", "*.png")), Place(tmp_path, ("*",) * 60)):
        with pytest.raises(BadInput, match="more than 9 names below"):
            listing_at(place, None, Budget(9))
    whole = Budget(84)
    assert len(listing_at(Place(tmp_path, ("*", "*.png")), None, whole).entries) == 40


def test_one_check_lists_a_folder_once(tmp_path, monkeypatch):
    touch(tmp_path / "in/a.png")
    reader = Reader([tmp_path])
    for text in ("in", "in/.", "./in", "in//", str(tmp_path / "in")):
        for _ in range(3):
            reader.look(text, PathRole("files"), trusted=False)
    assert reader._budget.most - reader._budget.left == 1


@pytest.mark.parametrize("text", ["a" * 5000, "a/" * 200 + "b", "../" * 300])
def test_long_and_deep_paths_are_refused_at_once(tmp_path, text):
    with pytest.raises(BadInput, match="a path of"):
        resolve_inside(text, [tmp_path])


def test_a_node_finds_what_the_check_has_found(tmp_path):
    """Not what has come, gone or been replaced since: that is seen when it is opened."""
    root = tmp_path.resolve()
    touch(root / "in/a.png")
    touch(root / "in/b.png")
    reader = Reader([root])
    path = str(reader.look("in/*.png", PathRole("files"), trusted=False).path)
    touch(root / "in/c.png")
    (root / "in/a.png").unlink()
    with reading(reader.gate):
        assert [entry.path.name for entry in listed(path).entries] == ["a.png", "b.png"]
    assert [entry.path.name for entry in listed(path).entries] == ["b.png", "c.png"]


def test_in_a_run_nothing_else_is_listed(tmp_path):
    root = tmp_path.resolve()
    touch(root / "in/a.png")
    touch(root / "out/a.png")
    with reading(Gate(frozenset([str(root / "in")]))):
        assert len(listed(str(root / "in" / "*.png")).entries) == 1
        for text in (root / "out", root / "out" / "*", root / "in" / ".." / "out"):
            with pytest.raises(PermissionError, match="leads out"):
                listed(str(text))


def test_a_trusted_listing_does_not_serve_an_untrusted_path(tmp_path):
    root = tmp_path.resolve() / "root"
    touch(root / "in/a.png")
    touch(tmp_path / "out/b.png")
    (root / "in/link.png").symlink_to(tmp_path / "out/b.png")
    reader = Reader([root])
    assert reader.look(str(root / "in"), PathRole("files"), trusted=True).digest
    with pytest.raises(BadInput, match="leads out"):
        reader.look(str(root / "in"), PathRole("files"), trusted=False)


@pytest.mark.parametrize(
    "text", ["..\\out\\x", "in\\..\\..\\out\\x", "..\\..\\out\\x", "C:\\out\\x", "\\\\host\\share\\x"]
)
@pytest.mark.parametrize("kind", ["file", "files", "model"])
def test_a_windows_path_does_not_tell_what_exists_outside(tmp_path, text, kind):
    root = tmp_path.resolve() / "root"
    touch(root / "in/a.png")
    said = set()
    for there in (False, True):
        if there:
            touch(tmp_path / "out/x")
        try:
            said.add(str(Reader([root]).look(text, PathRole(kind), trusted=False)))
        except BadInput as error:
            said.add(str(error))
    assert len(said) == 1


@pytest.mark.parametrize("text", ["a/../../out", "a/../../out/x", "link/x", "link", "./../out", "../out", "~/out"])
def test_a_model_does_not_tell_what_exists_outside(tmp_path, text):
    root = tmp_path.resolve() / "root"
    root.mkdir()
    (root / "link").symlink_to("../out")
    said = set()
    for there in (False, True):
        if there:
            touch(tmp_path / "out/x/model_index.json")
        try:
            said.add(str(Reader([root]).look(text, PathRole("model"), trusted=False)))
        except BadInput as error:
            said.add(str(error))
    assert len(said) == 1


def test_the_work_for_each_path_does_not_grow_with_the_number_of_paths(tmp_path, monkeypatch):
    """What each path may open is told by itself: a gate with all paths, made for each, held a check for 7 s."""
    held = []

    class Counted(Gate):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            held.append(len(self.found) + len(self.listings) + len(self.trusted))

    monkeypatch.setattr("inlay.graph_runtime.core.reading.reader.Gate", Counted)
    reader = Reader([tmp_path])
    for number in range(200):
        (tmp_path / f"{number}.png").write_bytes(b"x")
        reader.look(f"{number}.png", PathRole("files"), trusted=False)
    assert 200 <= sum(held) <= 3 * 200
    assert len(reader.gate.found) == len(reader.gate.listings) == 200
