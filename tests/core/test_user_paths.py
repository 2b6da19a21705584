"""Where inlay keeps its own files: at the same place on every platform as in releases before."""

import sys
from pathlib import Path

import platformdirs
import pytest
from inlay.graph_runtime.core import user_paths
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows, get_win_folder_from_env_vars


@pytest.fixture
def platform(monkeypatch, tmp_path):
    """Make `user_paths.home` believe in another platform, with a user's folder of its own."""

    def choose(name, directories):
        monkeypatch.delenv("INLAY_HOME")
        for variable in ("XDG_DATA_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        monkeypatch.setattr(sys, "platform", name)
        monkeypatch.setattr(
            platformdirs, "user_data_path", lambda *args, **options: Path(directories(*args, **options).user_data_dir)
        )
        return tmp_path

    return choose


def test_inlay_home_is_what_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "chosen"))
    assert user_paths.home() == tmp_path / "chosen"


def test_on_linux_it_is_below_xdg_data_home(platform, monkeypatch):
    user = platform("linux", Unix)
    assert user_paths.home() == user / ".local" / "share" / "inlay"
    monkeypatch.setenv("XDG_DATA_HOME", str(user / "data"))
    assert user_paths.home() == user / "data" / "inlay"


def test_on_windows_it_is_below_local_application_data(platform, monkeypatch):
    user = platform("win32", Windows)
    monkeypatch.setattr("platformdirs.windows.get_win_folder", get_win_folder_from_env_vars)
    monkeypatch.setenv("LOCALAPPDATA", str(user / "Local"))
    assert user_paths.home() == user / "Local" / "inlay"


def test_on_macos_it_is_in_application_support(platform, monkeypatch):
    user = platform("darwin", MacOS)
    folder = user / "Library" / "Application Support" / "inlay"
    assert user_paths.home() == folder
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_DATA_HOME", str(user / "data"))  # which newer releases of platformdirs look at
    assert user_paths.home() == folder
