"""Records, file names and fingerprints hold these hashes: their values are for ever."""

import hashlib

import torch
from inlay.graph_runtime.core.digests import sha256, short_digest
from inlay.graph_runtime.core.tensor_store import content_key


def test_sha256_is_that_of_the_parts_together():
    assert sha256() == hashlib.sha256().hexdigest()
    assert sha256("größe", b"\0", "b") == hashlib.sha256("größe\0b".encode()).hexdigest()
    assert sha256("\udc80") == hashlib.sha256(rb"\udc80").hexdigest()


def test_a_short_digest_is_as_long_as_asked():
    assert short_digest(b"a", b"b") == hashlib.blake2b(b"ab", digest_size=16).digest()
    assert len(short_digest(b"", size=20)) == 20


def test_a_content_key_tells_type_and_shape_of_the_same_bytes_apart():
    numbers = torch.arange(4, dtype=torch.float32)
    expected = hashlib.sha256(b"'a'\0" + b"torch.float32[4]" + numbers.numpy().tobytes() + b"\0").digest()
    assert content_key("a", numbers) == expected
    assert len({content_key(value) for value in (numbers, numbers.view(2, 2), numbers.view(torch.int32))}) == 3
