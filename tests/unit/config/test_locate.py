"""Which file is the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from oxllm.config.locate import NoConfigError, locate
from tests.support.plain_user import plain_user


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    for file in ("given.toml", "variable.toml", "config.toml"):
        (directory / file).touch()
    (tmp_path / "xdg" / "oxllm").mkdir(parents=True)
    (tmp_path / "xdg" / "oxllm" / "config.toml").touch()
    return directory


def test_the_first_of_option_variable_directory_and_xdg_is_taken(here: Path) -> None:
    xdg = str(here.parent / "xdg")
    env = {"OXLLM_CONFIG": "variable.toml", "XDG_CONFIG_HOME": xdg}
    assert locate("given.toml", env) == "given.toml"
    assert locate(None, env) == "variable.toml"
    assert locate(None, {"XDG_CONFIG_HOME": xdg}) == "config.toml"
    (here / "config.toml").unlink()
    assert locate(None, {"XDG_CONFIG_HOME": xdg}) == f"{xdg}/oxllm/config.toml"


def test_without_xdg_config_home_it_is_under_dot_config(here: Path) -> None:
    (here / "config.toml").unlink()
    file = here / ".config" / "oxllm" / "config.toml"
    file.parent.mkdir(parents=True)
    file.touch()
    assert locate(None, {"HOME": str(here)}) == str(file)


def test_a_given_path_that_does_not_exist_is_an_error_even_if_another_would_do(here: Path) -> None:
    with pytest.raises(NoConfigError, match=r"nowhere\.toml \(from --config\) does not exist"):
        locate("nowhere.toml", {})
    with pytest.raises(NoConfigError, match=r"nowhere\.toml \(from OXLLM_CONFIG\) does not exist"):
        locate(None, {"OXLLM_CONFIG": "nowhere.toml"})
    with pytest.raises(NoConfigError, match="is a directory"):
        locate(str(here), {})


def test_a_file_in_a_closed_directory_is_left_to_who_reads_it_and_says_why(here: Path) -> None:
    (here / "closed").mkdir(0)
    (here / "config.toml").unlink()
    with plain_user():
        assert locate("closed/a.toml", {}) == "closed/a.toml"
        with pytest.raises(NoConfigError, match=r"and closed/oxllm/config\.toml \(permission denied\); write"):
            locate(None, {"XDG_CONFIG_HOME": "closed"})


def test_with_no_file_at_all_the_error_says_where_it_looked(here: Path) -> None:
    (here / "config.toml").unlink()
    with pytest.raises(NoConfigError, match=r"looked for \./config\.toml and /none/oxllm/config\.toml"):
        locate(None, {"XDG_CONFIG_HOME": "/none"})
