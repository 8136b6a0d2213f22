"""Files that a run writes: checked before it begins, and failures reported in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import click


def check_new(file: Path, force: bool) -> None:
    """Check that a file can be created (or overwritten, with `force`), without touching it. Raises UsageError."""
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
    """Check that a file can be written now, not only when the run has ended; creates it. Raises UsageError."""
    try:
        file.open("ab").close()
    except OSError as error:
        raise click.UsageError(_refused(file, error)) from None


def write(file: Path, text: str) -> None:
    """Write a file. Raises ClickException, since even after a check the disk may be full."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(_refused(file, error)) from None


def write_all(*texts: tuple[Path | None, str]) -> None:
    """Write each text that has a file, even if others fail. Raises the first ClickException, and shows any others."""
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
