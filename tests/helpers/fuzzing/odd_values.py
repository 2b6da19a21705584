"""Values that programs forget about, for JSON and for Python."""

import math

LETTERS = [
    "",
    " ",
    "a",
    "é",
    "\x00",
    "\n",
    "\x1b[31m",
    "‮",
    "\ud800",
    "💥",
    "%s",
    "{0}",
    "${HOME}",
    "../",
    "~",
    "a" * 300,
]
NUMBERS = [0, 1, -1, 2, 7, 64, 255, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**20]
FLOATS = [0.0, -0.0, 0.5, 1.0, 1.5, -1.5, 1e-320, 1e308, -1e308, 1e16, 3.0000000000000004]
PATHS = [
    "a.png", "b.jpg", "sub", "sub/c.png", "sub/*.png", "*.png", "mask.png", "latent.safetensors", "boxes.csv", "?.png",
    "link.png", "door/s.png", "door", "door/*.png", "pipe.png", "../secret/s.png", "../secret", "../*/s.png", "..", ".",
    "", "/", "/etc/passwd", "/dev/zero", "/dev/stdin", "/proc/self/environ", "/proc/self/fd/0", "~/x.png", "~root/x",
    "sub/../../secret/s.png", "./a.png", "a.png/", "a.png/x", "sub//c.png", "**/*.png", "**", "*/*.png", "[a-b].*", "[",
    "nothing.png", "A.PNG", "a" * 300 + ".png", "a\0.png", "\ud800.png", "C:\\x.png", "..\\secret\\s.png", "sub\\c.png",
    "file:///etc/passwd", "http://localhost/x.png", "hub/model", "dollhouse", "dollhouse/clip", "%2e%2e/secret/s.png",
    "a.png\n", " a.png", "-x.png", "{a,b}.png", "*" * 60 + ".png", "?" * 200, "[!x]*", "../photos1/*.png", "x.pt",
    "../jab/a.png", "door/w.json", "w.json", "latent.bin", "../secret/s.safetensors", "../out/x.safetensors",
]  # fmt: skip
#: Values that no file can hold, for dicts from Python; in a corpus file a text with this mark stands for each.
MARK = "\u0001odd:"
PYTHON = {
    "nan": math.nan, "inf": math.inf, "huge": 10**4400, "bytes": b"a.png", "tuple": ("a.png",), "set": {1},
    "complex": 1j, "type": int, "function": len, "object": object(), "range": range(3), "none": None,
    "ellipsis": ..., "bytearray": bytearray(b"x"), "frozenset": frozenset(), "exception": ValueError("x"),
}  # fmt: skip


def scalar(rng):
    """Any scalar that JSON can hold."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice(NUMBERS)
    if kind == 2:
        return rng.choice(FLOATS)
    return rng.choice(PATHS if kind == 3 else LETTERS)


def value(rng, depth=2):
    """Any value that JSON can hold; small."""
    if depth == 0 or rng.random() < 0.7:
        return scalar(rng)
    if rng.random() < 0.5:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(LETTERS) or "k": value(rng, depth - 1) for _ in range(rng.randrange(3))}
