"""Mutations of JSON: of the tree, and of its text. A mutation is a function of (what it changes, random generator)."""

import copy
import json

from . import odd_values

_PIECES = (
    b"\x00", b"\xff", b",", b"]", b"}", b"//x\n", b"NaN", b"Infinity", b"1e999", b"1" * 5000, b'"', b"\\u", b"\\ud800",
    b"-", b"0x1", b"'", b"\xe2\x80\xae", b"[" * 70, b'{"a":' * 66, b"\xef\xbb\xbf", b"null", b"1E400", b"-0",
)  # fmt: skip
_DEEP = (40, 63, 64, 65, 70, 500, 5000)


def places(tree, limit=4000):
    """Every (container, key) of a tree, without those of the root itself."""
    found, waiting = [], [tree]
    while waiting and len(found) < limit:
        item = waiting.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        for key in keys:
            found.append((item, key))
            if isinstance(item[key], (dict, list)):
                waiting.append(item[key])
    return found


def _somewhere(tree, rng):
    found = places(tree)
    return rng.choice(found) if found else ([tree], 0)


def replace(tree, rng):
    """Another value in some place."""
    container, key = _somewhere(tree, rng)
    container[key] = odd_values.value(rng)


def another_number(tree, rng):
    """A number becomes another number."""
    numbers = [at for at in places(tree) if isinstance(at[0][at[1]], (int, float))]
    container, key = rng.choice(numbers) if numbers else _somewhere(tree, rng)
    old = container[key] if isinstance(container[key], (int, float)) else 1
    container[key] = rng.choice(
        [rng.choice(odd_values.NUMBERS), rng.choice(odd_values.FLOATS), -old, old + 1, old * 2, float(old), str(old)]
    )


def another_text(tree, rng):
    """A text becomes another text, or loses or doubles a part."""
    texts = [at for at in places(tree) if isinstance(at[0][at[1]], str)]
    container, key = rng.choice(texts) if texts else _somewhere(tree, rng)
    old = container[key] if isinstance(container[key], str) else "x"
    cut = rng.randrange(len(old) + 1)
    new = [old[:cut], old[cut:], old + old, old.upper(), old[:cut] + rng.choice(odd_values.LETTERS) + old[cut:]]
    container[key] = rng.choice([*new, rng.choice(odd_values.PATHS), rng.choice(odd_values.LETTERS)])


def drop(tree, rng):
    """A key or an item goes."""
    container, key = _somewhere(tree, rng)
    del container[key]


def rename(tree, rng):
    """A key gets another name."""
    dicts = [at for at in places(tree) if isinstance(at[0], dict)]
    if dicts:
        container, key = rng.choice(dicts)
        new = rng.choice([key + "x", key[:-1], key.upper(), *odd_values.LETTERS, rng.choice(dicts)[1]])
        container[new] = container.pop(key)


def add(tree, rng):
    """A new key or item."""
    containers = [tree] + [at[0][at[1]] for at in places(tree) if isinstance(at[0][at[1]], (dict, list))]
    container = rng.choice(containers)
    if isinstance(container, dict):
        known = [at[1] for at in places(tree) if isinstance(at[0], dict)]
        container[rng.choice(known or ["x"]) if rng.random() < 0.6 else rng.choice(odd_values.LETTERS)] = (
            odd_values.value(rng)
        )
    elif isinstance(container, list):
        container.insert(rng.randrange(len(container) + 1), odd_values.value(rng))


def swap(tree, rng):
    """Two values change places."""
    (one, key), (other, place) = _somewhere(tree, rng), _somewhere(tree, rng)
    first, second = copy.deepcopy(one[key]), copy.deepcopy(other[place])
    one[key] = second
    other[place] = first


def deepen(tree, rng):
    """A value in many lists or objects."""
    container, key = _somewhere(tree, rng)
    inner = container[key]
    for _ in range(rng.choice(_DEEP[:5])):
        inner = [inner] if rng.random() < 0.5 else {"x": inner}
    container[key] = inner


def many(tree, rng):
    """A list or an object with very many members."""
    container, key = _somewhere(tree, rng)
    old, count = container[key], rng.choice((50, 2000, 30_000))
    if isinstance(old, dict) and old and rng.random() < 0.7:
        model = old[rng.choice(list(old))]
        old.update({f"n{number}": model for number in range(count)})
    elif isinstance(old, dict):
        container[key] = {f"n{number}": odd_values.scalar(rng) for number in range(count)}
    else:
        container[key] = [old] * count


TREE = {
    "replace": replace, "number": another_number, "text": another_text, "drop": drop, "rename": rename, "add": add,
    "swap": swap, "deepen": deepen,
}  # fmt: skip
RARE = {"many": many}


def dumps(tree):
    """The text of a tree; half characters are written as JSON escapes them."""
    return json.dumps(tree).encode()


def _cut(data, rng):
    return data[: rng.randrange(len(data) + 1)]


def _flip(data, rng):
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _insert(data, rng):
    at = rng.randrange(len(data) + 1)
    piece = rng.choice(_PIECES)
    return data[:at] + piece + data[at:]


def _encode(data, rng):
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    return text.encode(rng.choice(["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "latin-1"]), "replace")


def _double(data, rng):
    at, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[at:end] * rng.choice((1, 2, 50)) + data[end:]


def _huge(data, rng):
    """A file near the largest that is read."""
    size = rng.choice((2**20, 4 * 2**20, 16 * 2**20 - 10))
    kind = rng.randrange(7)
    if kind == 0:
        return rng.choice((b"[", b'{"a":', b"[[],", b"1", b" ", b'"', b"\x00")) * (size // 4)
    if kind == 1:
        return b'{"format": 1, "nodes": {%s}}' % b",".join(b'"%x":{"type":"a.b"}' % n for n in range(size // 26))
    if kind == 2:
        return b'{"format": 1, "nodes": {"p": {"type": "image.load", "params": {"path": [%s]}}}}' % b",".join(
            [b'"a.png"'] * (size // 9)
        )
    if kind == 3:
        item = b'{"type":"subject.photos","params":{"path":["a.png"]}}'
        return b'{"format":1,"nodes":{%s}}' % b",".join(b'"n%d":%s' % (n, item) for n in range(size // 65))
    if kind == 4:
        return b'{"format": 1, "nodes": {}, "ui": {%s}}' % b",".join(b'"%x":%x' % (n, 0) for n in range(size // 11))
    if kind == 5:
        return b'{"format": 1, "nodes": {}, "outputs": {%s}}' % b",".join(b'"%x":"a.b"' % n for n in range(size // 15))
    return data.rstrip()[:-1] + b"," + b'"x":"' + b"\\u0041" * (size // 6) + b'"}'


TEXT = {"cut": _cut, "flip": _flip, "insert": _insert, "encode": _encode, "double": _double}
RARE_TEXT = {"huge": _huge}
