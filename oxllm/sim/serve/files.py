"""Files that a run writes: whether it may is found out before it begins, and what fails is told in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import click


def check_new(file: Path, force: bool) -> None:
    """Find out now, and touch nothing: the file is written when there is something to write into it. Raises
    UsageError."""
    try:
        there = _is_there(file)
    except OSError as error:
        raise click.UsageError(_refused(file, error)) from None
    if there and not force:
        raise click.UsageError(f"{file} exists already; write over it with --force")
    if not there and not file.parent.is_dir():
        raise click.UsageError(f"{file} cannot be written: no such directory")
    effective = os.access in os.supports_effective_ids
    if not os.access(file if there else file.parent, os.W_OK, effective_ids=effective):
        raise click.UsageError(_refused(file, OSError(errno.EACCES, os.strerror(errno.EACCES))))


def check_writable(file: Path) -> None:
    """Find out now that a file cannot be written, and not when a run has ended. Raises UsageError."""
    try:
        file.open("ab").close()
    except OSError as error:
        raise click.UsageError(_refused(file, error)) from None


def write(file: Path, text: str) -> None:
    """Write it. Raises ClickException: what could be done before has not shown that the disk is full now."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(_refused(file, error)) from None


def write_all(*texts: tuple[Path | None, str]) -> None:
    """Write what has a file, each whatever became of those before. Raises ClickException, the first that there was."""
    failed: list[click.ClickException] = []
    for file, text in texts:
        try:
            if file is not None:
                write(file, text)
        except click.ClickException as error:
            failed.append(error)
    for further in failed[1:]:
        further.show()
    if failed:
        raise failed[0]


def _is_there(file: Path) -> bool:
    try:
        file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _refused(file: Path, error: OSError) -> str:
    return f"{file} cannot be written: {(error.strerror or 'unknown error').lower()}"
