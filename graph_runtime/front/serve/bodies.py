"""Which bodies the server takes, path by path: their types and how large they may be."""

import re
from dataclasses import dataclass

MIB = 2**20
JSON = frozenset({"application/json"})
#: What a picture may be sent as; whether it is one is found by decoding it.
PICTURES = frozenset(f"image/{kind}" for kind in ("png", "jpeg", "webp", "tiff", "bmp", "gif", "avif", "heic", "heif"))


@dataclass(frozen=True)
class Bodies:
    """What a path takes.

    Attributes:
        types: The content types.
        limit: The largest body, in bytes.
        plain: Whether the page may leave the type away and send text. Any page of the web can do that, so it counts
            only where the browser says that our own page asks.
    """

    types: frozenset[str] = JSON
    limit: int = 32 * MIB
    plain: bool = False


@dataclass(frozen=True)
class BodyRules:
    """The bodies of each path; the first pattern that fits counts.

    Attributes:
        upload: The largest picture, in bytes.
    """

    upload: int = 256 * MIB

    def of(self, path: str) -> Bodies:
        """What this path takes."""
        bare = re.sub(r"^(/editor)?(/api)?/", "/", path)
        if path == "/v1/uploads":
            return Bodies(PICTURES | {"application/octet-stream"}, self.upload)
        if bare in ("/upload/image", "/upload/mask"):  # the editor sends forms there
            return Bodies(frozenset({"multipart/form-data"}), self.upload)
        if bare == "/inlay/open":
            return Bodies(PICTURES | JSON, self.upload)
        if re.match(r"/(userdata|settings)(/|$)", bare):  # it names no type for these
            return Bodies(JSON | {"application/octet-stream"}, plain=True)
        return Bodies()
