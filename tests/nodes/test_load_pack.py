"""Where nodes are found: in a file or a folder named by their family."""

import inlay.nodes
import pytest


def test_a_family_is_a_file_or_a_folder(tmp_path):
    for name in ("noise.py", "model_lora.py", "ports.py", "__init__.py", "mask/detect.py", "mask/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "mask" / "__pycache__").mkdir()
    assert list(inlay.nodes._modules(tmp_path)) == [
        ("mask", "mask.detect"),
        ("model", "model_lora"),
        ("noise", "noise"),
        ("ports", "ports"),
    ]


@pytest.mark.parametrize("module", ["image.fill", "noise"])
def test_a_node_of_another_family_is_refused(monkeypatch, module):
    monkeypatch.setattr(inlay.nodes, "_modules", lambda folder: iter([("mask", module)]))
    with pytest.raises(ValueError, match=rf"is defined in {module.replace('.', '/')}\.py: it belongs in"):
        inlay.nodes.load_pack()


def test_a_broken_file_is_named(monkeypatch):
    monkeypatch.setattr(inlay.nodes, "_modules", lambda folder: iter([("mask", "mask.nothing")]))
    with pytest.raises(ImportError, match=r"mask/nothing\.py is broken: ModuleNotFoundError"):
        inlay.nodes.load_pack()
