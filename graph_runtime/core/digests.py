"""The hashes of contents, and what each is used for.

`sha256` goes into records, file names and fingerprints, so its values never change; `short_digest` is for cache keys.
"""

import hashlib


def sha256(*parts: bytes | str) -> str:
    """sha256 of the parts one after another, in hexadecimal; text counts as UTF-8."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.encode("utf-8", "backslashreplace") if isinstance(part, str) else part)
    return total.hexdigest()


def short_digest(*parts: bytes | memoryview, size: int = 16) -> bytes:
    """BLAKE2b of the parts one after another, `size` bytes long."""
    total = hashlib.blake2b(parts[0] if parts else b"", digest_size=size)
    for part in parts[1:]:
        total.update(part)
    return total.digest()
