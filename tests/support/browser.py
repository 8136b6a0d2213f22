"""A real browser without a window: what it makes of a page, and the pixels that it shows."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from collections import Counter
from pathlib import Path

TIMEOUT_S = 60
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--force-color-profile=srgb", "--enable-logging=stderr",
)  # fmt: skip
"""No sandbox, since it refuses root; no request of its own."""
Pixels = Counter[tuple[int, int, int]]


def chromium() -> str | None:
    """The browser's path, if this machine has one."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


class Browser:
    """One that starts anew for each question; `home` is its own directory, and empty."""

    def __init__(self, program: str, home: Path) -> None:
        self._program = program
        self._home = home

    def dom(self, page: Path) -> tuple[str, list[str]]:
        """The page as the browser understood it, and what it said on its console."""
        done = self._run(page, "--dump-dom")
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    def pixels(self, page: Path, width: int, height: int, dark: bool = False) -> Pixels:
        """How many pixels of each colour it shows, at half its size: reading them is what takes the time."""
        shot = self._home / "shot.png"
        scheme = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0") if dark else ()
        size = ("--force-device-scale-factor=0.5", f"--window-size={width},{height}")
        self._run(page, *size, f"--screenshot={shot}", *scheme)
        return colours(shot.read_bytes())

    def _run(self, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [self._program, *QUIET, f"--user-data-dir={self._home / 'profile'}", *options, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)


def colours(png: bytes) -> Pixels:
    """How many pixels of each colour a PNG has, of the kind that Chromium writes: 8 bits, RGB or RGBA."""
    width, height, depth, kind, *_, interlaced = struct.unpack(">IIBBBBB", png[16:29])
    assert (depth, kind in (2, 6), interlaced) == (8, True, 0), "another kind of PNG"
    size, at, packed = 4 if kind == 6 else 3, 8, b""
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        packed += png[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += 12 + length
    data, stride = zlib.decompress(packed), width * size
    line, found = bytearray(stride), Counter[tuple[int, int, int]]()
    for row in range(height):
        start = row * (stride + 1)
        line = _unfiltered(data[start], bytearray(data[start + 1 : start + 1 + stride]), line, size)
        found.update(zip(line[0::size], line[1::size], line[2::size], strict=True))
    return found


def _unfiltered(kind: int, line: bytearray, above: bytearray, size: int) -> bytearray:
    """One line of a PNG as it was before its filter (PNG, 9.2)."""
    if kind == 2 and not any(line):
        return above
    if kind == 2:
        return bytearray((one + up) & 255 for one, up in zip(line, above, strict=True))
    for at in range(len(line) if kind else 0):
        left = line[at - size] if at >= size else 0
        up, corner = above[at], above[at - size] if at >= size else 0
        if kind == 4:
            guess = left + up - corner
            _, _, add = min((abs(guess - value), order, value) for order, value in enumerate((left, up, corner)))
        else:
            add = left if kind == 1 else (left + up) // 2
        line[at] = (line[at] + add) & 255
    return line
