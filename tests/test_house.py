"""The picture of the house shows the rooms and the imports that are there."""

import importlib.util
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def house():
    specification = importlib.util.spec_from_file_location("house_script", ROOT / "scripts" / "house.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def edges(house):
    return house.imports()


def test_the_picture_is_up_to_date(house, edges):
    assert house.PICTURE.read_text(encoding="utf-8") == house.draw(edges), "run python scripts/house.py"


def test_rooms_import_only_those_below_them(house, edges):
    floor = {room: number for number, rooms in enumerate(house.FLOORS) for room in rooms}
    assert set(floor) == set(house.ROOMS)
    assert all((ROOT / folder).is_dir() for folder, _ in house.ROOMS.values())
    assert {("front", "nodes"), ("nodes", "methods"), ("models", "core")} <= edges
    assert all(floor[source] < floor[target] for source, target in edges)


def test_every_room_and_every_import_is_drawn(house, edges):
    root = ElementTree.fromstring(house.draw(edges))
    svg = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{svg}text")]
    assert texts == [line for room in house.ROOMS for line in house.ROOMS[room]]
    arrows = sum("marker-end" in element.attrib for element in root.iter(f"{svg}path"))
    dots = sum(1 for _ in root.iter(f"{svg}circle"))
    assert arrows + dots == len(edges)
