"""Run files are found while their gateway lives, and hold what a client needs."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from oxllm import runfile
from oxllm.runfile import RunFile


@pytest.fixture
def run() -> RunFile:
    pid = os.getpid()
    return RunFile(pid, runfile.start_time(pid), 1.5, "127.0.0.1", 8080, "hush", "/etc/oxllm.toml")


def test_a_held_file_is_found_and_a_removed_one_is_not(tmp_path: Path, run: RunFile) -> None:
    held = runfile.write(str(tmp_path / "oxllm"), run)
    assert runfile.read_all(str(tmp_path / "oxllm")) == [run]
    held.remove()
    held.remove()
    assert runfile.read_all(str(tmp_path / "oxllm")) == []


def test_file_and_directory_are_closed_to_others(tmp_path: Path, run: RunFile) -> None:
    held = runfile.write(str(tmp_path / "oxllm"), run)
    assert stat.S_IMODE(os.stat(held.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "oxllm").st_mode) == 0o700
    held.remove()


def test_a_file_that_a_crash_left_behind_is_not_a_gateway(tmp_path: Path, run: RunFile) -> None:
    script = (
        "import os, sys; from oxllm import runfile\n"
        f"run = runfile.RunFile(os.getpid(), runfile.start_time(os.getpid()), 0.0, '127.0.0.1', 1)\n"
        f"runfile.write({str(tmp_path)!r}, run); os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert len(os.listdir(tmp_path)) == 1
    assert runfile.read_all(str(tmp_path)) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="nothing tells which processes there are")
def test_the_next_gateway_takes_away_what_a_crash_left_behind_and_no_more(tmp_path: Path, run: RunFile) -> None:
    """It holds an admin token."""
    import fcntl

    gone = 2**22 + 1  # more than a process number can be (proc(5), pid_max)
    files = {name: tmp_path / name for name in (f"oxllm-{gone}.json", f"oxllm-{gone + 1}.json", "oxllm-1.json", "x")}
    for file in files.values():
        file.touch(0o600)
    dead, of_another_namespace, of_a_process, of_somebody = files.values()
    with open(of_another_namespace, "wb") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        held = runfile.write(str(tmp_path), run)
    assert not dead.exists()
    assert of_another_namespace.exists()
    assert of_a_process.exists()
    assert of_somebody.exists()
    held.remove()


def test_a_file_of_an_earlier_process_of_the_same_number_is_not_a_gateway(tmp_path: Path, run: RunFile) -> None:
    earlier = RunFile(run.pid, run.start_time + 1, 1.0, "127.0.0.1", 1)
    held = runfile.write(str(tmp_path), earlier)
    assert runfile.read_all(str(tmp_path)) == []
    held.remove()


def test_junk_in_the_directory_is_passed_over(tmp_path: Path, run: RunFile) -> None:
    import fcntl

    held = runfile.write(str(tmp_path), run)
    with open(tmp_path / "oxllm-1.json", "wb") as junk:
        junk.write(b"\xff{")
        junk.flush()
        fcntl.flock(junk, fcntl.LOCK_EX)
        (tmp_path / "oxllm-2.json").symlink_to(held.path)
        (tmp_path / "other.json").touch()
        assert runfile.read_all(str(tmp_path)) == [run]
    held.remove()


def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path, run: RunFile) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError):
        runfile.write(str(tmp_path), run)


def test_the_directory_is_systemds_then_the_sessions_then_a_temporary_one() -> None:
    env = {"RUNTIME_DIRECTORY": "/run/oxllm:/run/more", "XDG_RUNTIME_DIR": "/run/user/1", "TMPDIR": "/var/tmp"}
    assert runfile.directory(env) == "/run/oxllm"
    env.pop("RUNTIME_DIRECTORY")
    assert runfile.directory(env) == "/run/user/1/oxllm"
    env.pop("XDG_RUNTIME_DIR")
    assert runfile.directory(env) == f"/var/tmp/oxllm-{os.getuid()}"
    assert runfile.directory({}) == f"/tmp/oxllm-{os.getuid()}"


def test_a_run_file_does_not_show_its_token(run: RunFile) -> None:
    assert "hush" not in repr(run)


def test_a_file_that_is_replaced_is_found_with_its_new_content_and_goes_at_the_end(
    tmp_path: Path, run: RunFile
) -> None:
    held = runfile.write(str(tmp_path), run)
    other = RunFile(run.pid, run.start_time, 2.0, "127.0.0.1", 8080, "another token")
    before = os.listdir("/proc/self/fd")
    held.replace(other)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert runfile.read_all(str(tmp_path)) == [other]
    assert stat.S_IMODE(os.stat(held.path).st_mode) == 0o600
    held.remove()
    assert os.listdir(tmp_path) == []
    held.replace(run)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_file_that_a_cleaner_has_deleted_is_written_anew(tmp_path: Path, run: RunFile, depth: int) -> None:
    """Alone, with its directory, or with the session's, as at the end of a user's last session."""
    directory = tmp_path / "session" / "oxllm"
    with runfile.write(str(directory), run) as written:
        assert written.is_there()
        os.unlink(written.path)
        for gone in (directory, directory.parent)[:depth]:
            gone.rmdir()
        assert not written.is_there()
        written.replace(run)
        assert written.is_there()
        assert runfile.read_all(str(directory)) == [run]
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert not os.path.exists(written.path)


def test_a_file_that_another_has_taken_the_place_of_is_gone(tmp_path: Path, run: RunFile) -> None:
    with runfile.write(str(tmp_path / "run"), run) as written:
        os.unlink(written.path)
        Path(written.path).touch()
        assert not written.is_there()


def test_it_is_not_written_into_a_directory_that_another_has_made_meanwhile(tmp_path: Path, run: RunFile) -> None:
    with runfile.write(str(tmp_path / "run"), run) as written:
        os.unlink(written.path)
        (tmp_path / "run").chmod(0o777)
        with pytest.raises(PermissionError):
            written.replace(run)
        assert not os.path.exists(written.path)
