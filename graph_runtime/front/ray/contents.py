"""Files that runs read, by content: put once where workers can fetch them, and kept there while they are of use."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...core.digests import sha256
from ...core.file_digests import file_sha256
from ...core.reading.listing import listing_at, model_files_at
from ...core.reading.places import place_of

PIECE = 16 * 2**20  # bytes of a file that are put at once
ROOM = 2 * 2**30  # bytes of contents that are kept for later runs
Ref = object  # what the cluster gives for contents that were put; only the cluster knows what it is


@dataclass(frozen=True)
class Parcel:
    """A path of a workflow with everything that it names, as it can be made again elsewhere.

    Attributes:
        name: of the file or folder.
        files: below it, with slashes, the digest of each; the name `""` is the path itself.
        pattern: that names below the folder match; empty for the folder itself.
    """

    name: str
    files: dict[str, str]
    pattern: str = ""

    @property
    def key(self) -> str:
        """Tells it from others: what it is called and what it holds."""
        return sha256(self.name, *(f"{name}\0{digest}\0" for name, digest in sorted(self.files.items())))


def parcel_of(path: str, *, model: bool) -> tuple[Parcel, dict[str, Path]]:
    """What a path names, and where the contents of each digest are.

    Args:
        path: a file, a folder or a pattern.
        model: in a folder, only the files of a model count.

    Raises:
        OSError: it cannot be read.
        BadInput: a folder with too many files.
    """
    place = place_of(path)
    listing = model_files_at(place) if model else listing_at(place)
    if listing.kind not in ("folder", "pattern"):
        digest = file_sha256(place.base)
        return Parcel(place.base.name, {"": digest}), {digest: place.base}
    found, where = {}, {}
    for entry in listing.entries:
        if entry.kind == "file":
            digest = file_sha256(entry.path)
            found[entry.path.relative_to(place.base).as_posix()] = digest
            where[digest] = entry.path
    return Parcel(place.base.name or "folder", found, "/".join(place.pattern)), where


@dataclass
class Contents:
    """The contents that were put, by digest; those of no run under way make room, the oldest first.

    Args:
        put: puts a piece.
        room: bytes that are kept.
        sent: bytes that were put so far.
    """

    put: Callable[[bytes], Ref]
    room: int = ROOM
    sent: int = 0
    _held: "OrderedDict[str, tuple[list[Ref], int]]" = field(default_factory=OrderedDict)
    _users: dict[str, int] = field(default_factory=dict)

    def take(self, where: dict[str, Path]) -> dict[str, list[Ref]]:
        """The pieces of some contents, for one run; `give_back` ends that.

        Raises:
            OSError: a file cannot be read any more.
        """
        for digest, path in where.items():
            if digest not in self._held:
                self._held[digest] = self._put(path)
            self._held.move_to_end(digest)
            self._users[digest] = self._users.get(digest, 0) + 1
        return {digest: self._held[digest][0] for digest in where}

    def give_back(self, digests: Iterable[str]) -> None:
        """A run needs these contents no longer."""
        for digest in digests:
            self._users[digest] -= 1
            if not self._users[digest]:
                del self._users[digest]
        self._make_room()

    def _put(self, path: Path) -> tuple[list[Ref], int]:
        refs, size = [], 0
        for piece in _pieces(path):
            refs.append(self.put(piece))
            size += len(piece)
        self.sent += size
        return refs, size

    def _make_room(self) -> None:
        held = sum(size for _, size in self._held.values())
        for digest in list(self._held):
            if held <= self.room:
                return
            if digest not in self._users:
                held -= self._held.pop(digest)[1]


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
