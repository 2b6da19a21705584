"""TIFF files by their directories, of pictures and of EXIF: written as told, right or wrong."""

import struct

_CODES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 7: "s", 12: "d", 16: "Q"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    32,
    255,
    256,
    4000,
    16384,
    65535,
    65536,
    100_000,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
_TAGS = (
    254,
    256,
    257,
    258,
    259,
    262,
    266,
    273,
    274,
    277,
    278,
    279,
    282,
    284,
    292,
    293,
    296,
    317,
    320,
    322,
    323,
    324,
    325,
)
_TAGS += (330, 332, 338, 339, 347, 512, 513, 529, 530, 532, 700, 33432, 33550, 34377, 34665, 34675, 34853, 37724, 40965)
_COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34676, 34677, 34712, 34925, 34926, 50000, 50001, 50002, 0, 9999)


def picture(rng):
    """The directories of a small valid picture: entries [tag, type, count, values], and its strip."""
    side, samples = rng.choice((1, 5, 16)), rng.choice((1, 3, 3, 4))
    photometric = 2 if samples > 2 else 1
    strip = bytes(rng.randrange(256) for _ in range(side * side * samples))
    entries = [
        [256, 3, 1, [side]],
        [257, 3, 1, [side]],
        [258, 3, samples, [8] * samples],
        [259, 3, 1, [1]],
        [262, 3, 1, [photometric]],
        [273, 4, 1, ["strip"]],
        [277, 3, 1, [samples]],
        [278, 3, 1, [side]],
        [279, 4, 1, [len(strip)]],
    ]
    if samples == 4:
        entries.append([338, 3, 1, [2]])
    return {"pages": [entries], "strip": strip, "next": [0], "order": rng.choice("<>")}


def write(tree):
    """The file: header, strip, then a directory after the other."""
    order = tree["order"]
    data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    strip = len(data)
    data += tree["strip"] + bytes(len(tree["strip"]) % 2)
    links = [4]
    starts = []
    for entries in tree["pages"]:
        values = {}
        for number, (_, kind, _, value) in enumerate(entries):
            packed = _packed(order, kind, value, strip)
            if len(packed) > 4:
                values[number] = len(data)
                data += packed + bytes(len(packed) % 2)
        starts.append(len(data))
        data += struct.pack(order + "H", len(entries) % 65536)
        for number, (tag, kind, count, value) in enumerate(entries):
            packed = _packed(order, kind, value, strip)
            place = struct.pack(order + "I", values[number]) if number in values else packed.ljust(4, b"\0")
            data += struct.pack(order + "HHI", tag & 65535, kind & 65535, count & 0xFFFFFFFF) + place
        links.append(len(data))
        data += bytes(4)
    for number, start in enumerate(starts):
        data[links[number] : links[number] + 4] = struct.pack(order + "I", start)
    for number, jump in enumerate(tree["next"]):  # a loop, or a page that is not there
        if jump and number + 1 < len(links):
            to = starts[jump % len(starts)] if jump > 0 else -jump
            data[links[number + 1] : links[number + 1] + 4] = struct.pack(order + "I", to & 0xFFFFFFFF)
    return bytes(data)


def _packed(order, kind, values, strip):
    code = _CODES.get(kind, "I")
    if isinstance(values, bytes):
        return values
    if code == "s":
        return bytes(int(value) % 256 for value in values if value != "strip")
    size = 8 * struct.calcsize("=" + code[0])
    numbers = [strip if value == "strip" else value for value in values for _ in code]
    if code == "d":
        return struct.pack(f"{order}{len(numbers)}d", *map(float, numbers))
    return struct.pack(f"{order}{len(numbers)}{code[0]}", *(int(number) % 2**size for number in numbers))


def _entry(tree, rng):
    return rng.choice(rng.choice(tree["pages"]) or [[256, 3, 1, [1]]])


def value(tree, rng):
    entry = _entry(tree, rng)
    numbers = _COMPRESSIONS if entry[0] == 259 else _NUMBERS
    entry[3] = [rng.choice(numbers) for _ in range(max(1, min(len(entry[3]), 8)))]


def kind(tree, rng):
    _entry(tree, rng)[1] = rng.choice((*_SIZES, 0, 14, 129, 65535))


def count(tree, rng):
    _entry(tree, rng)[2] = rng.choice(_NUMBERS)


def tag(tree, rng):
    _entry(tree, rng)[0] = rng.choice(_TAGS)


def more(tree, rng):
    page = rng.choice(tree["pages"])
    number = rng.choice((1, 1, 1, 2, 100, 5000))
    for _ in range(number):
        page.append([rng.choice(_TAGS), rng.choice(tuple(_CODES)), rng.choice((1, 1, 2, 8)), [rng.choice(_NUMBERS)]])
    if rng.random() < 0.7:
        page.sort(key=lambda entry: entry[0])


def fewer(tree, rng):
    page = rng.choice(tree["pages"])
    if page:
        page.pop(rng.randrange(len(page)))


def pages(tree, rng):
    page = rng.choice(tree["pages"])
    most = 200_000 // (1 + sum(1 + len(entry[3]) for entry in page))
    copies = [[list(entry) for entry in page] for _ in range(min(most, rng.choice((1, 2, 50, 20_000))))]
    tree["pages"] += copies
    tree["next"] = [0] * len(tree["pages"])


def loop(tree, rng):
    tree["next"][rng.randrange(len(tree["next"]))] = rng.choice((1, 2, 3, -8, -1, -(2**31), -5))


def lists(tree, rng):
    """Very long lists of strips or tiles."""
    page = rng.choice(tree["pages"])
    length = rng.choice((10, 1000, 100_000))
    first, second = rng.choice(((273, 279), (324, 325)))
    page[:] = [entry for entry in page if entry[0] not in (first, second)]
    page += [[first, 4, length, ["strip"] * length], [second, 4, length, [1] * length]]
    page.sort(key=lambda entry: entry[0])


def bits(tree, rng):
    page = rng.choice(tree["pages"])
    for entry in page:
        if entry[0] == 258:
            entry[3] = [rng.choice((1, 2, 4, 8, 12, 16, 32, 64))] * len(entry[3])
        elif entry[0] == 339:
            entry[3] = [rng.choice((1, 2, 3))] * len(entry[3])


def large(tree, rng):
    """A picture far larger than its strip."""
    for entry in rng.choice(tree["pages"]):
        if entry[0] in (256, 257, 278):
            entry[1], entry[3] = 4, [rng.choice((2000, 4000, 9000, 20_000, 65_500))]
        elif entry[0] == 259:
            entry[3] = [rng.choice((1, 1, 5, 8, 32773))]


CHANGES = {
    "value": (value, 24), "kind": (kind, 5), "count": (count, 8), "tag": (tag, 6), "more": (more, 8),
    "fewer": (fewer, 5), "pages": (pages, 3), "loop": (loop, 4), "lists": (lists, 3), "bits": (bits, 6),
    "large": (large, 4),
}  # fmt: skip


def exif(rng):
    """An EXIF block with a few mistakes, as PNG, JPEG and WebP hold it (without the JPEG's mark)."""
    tree = {
        "pages": [[[274, 3, 1, [rng.choice((1, 6, 8, 9, 0, 65535))]]]],
        "strip": b"",
        "next": [0],
        "order": rng.choice("<>"),
    }
    tree["pages"][0] += [[282, 5, 1, [72]], [305, 2, 4, [97, 98, 99, 0]], [306, 2, 20, list(b"2020:01:01 00:00:00\0")]]
    if rng.random() < 0.5:
        tree["pages"][0].append([34665, 4, 1, [8]])
    for _ in range(rng.randrange(5)):
        name = rng.choice(("value", "kind", "count", "tag", "more", "loop"))
        CHANGES[name][0](tree, rng)
    return write(tree)
