"""How large a workflow may be, so that it is checked within 2 s and 1 GB whatever it contains.

The limits are far above what people write: the largest shipped workflow has 42 nodes. Every one is counted before
anything is built from what it limits.
"""

BYTES = 16 * 2**20  # of a workflow file
DEPTH = 64  # levels of nesting
ITEMS = 1_000_000  # commas and opening brackets of a file, or values of a dict: what a parser makes objects of
TEXT = 100_000  # characters of one text
NAME = 1_000  # characters of one key: of a node, a setting, a socket
DIGITS = 308  # of a whole number: what a float can hold
NODES = 100_000  # of a workflow
DEEP = 1_000  # nodes that are checked on what is known of their inputs however long that takes: about 1 ms each
SECONDS = 1.0  # of processor time, after which no more of them are checked
VALUES = 24_000_000  # pixels of masks that one check looks at
LOOK = 10_000  # what each look counts as beside its pixels: the time to begin one
IO = 1_000  # inputs, and outputs, of a workflow
TARGETS = 10_000  # settings that all inputs set together
PATHS = 10_000  # files that settings name
UPSTREAM = 200_000  # nodes passed on the way back to values that sockets take from upstream
PROBLEMS = 1_000  # problems after which a check stops, and warnings that it keeps
