"""A real browser without a window: how it renders a page, and the pixels that it shows.

    python -m tests.support.browser report.html docs/report.png

makes the picture of a report that is in the manual.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

TIMEOUT_S = 60
WIDTH, HEIGHT = 900, 2020
"""Size of the picture: it reaches down to the providers."""
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--force-color-profile=srgb", "--enable-logging=stderr",
)  # fmt: skip
"""No sandbox, since it refuses root; no requests of the browser's own."""
Pixels = Counter[tuple[int, int, int]]


def chromium() -> str | None:
    """The path of a browser that starts, if this machine has one; Ubuntu has a stub of that name which only fails."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path is not None and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    return None


class Shown(NamedTuple):
    """A page as a browser rendered it."""

    dom: str
    complaints: list[str]
    """Messages on its console."""
    pixels: Pixels
    """How many there are of each colour, at half the size, since reading them is what takes time."""


def show(program: str, page: Path, width: int, height: int, dark: bool = False) -> Shown:
    """Open a page in a window of this size. A profile and the picture are left next to the page."""
    home = page.parent
    scheme = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0") if dark else ()
    size = ("--force-device-scale-factor=0.5", f"--window-size={width},{height}")
    command = [program, *QUIET, f"--user-data-dir={home / 'profile'}", *size, *scheme, "--dump-dom"]
    command += [f"--screenshot={home / 'shot.png'}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S)
    complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Shown(done.stdout, complaints, colours((home / "shot.png").read_bytes()))


def main(arguments: list[str]) -> int:
    """Write the picture of a page, the first argument, to the file that is the second."""
    page, to = map(Path, arguments)
    program = chromium()
    if program is None:
        print("no chromium here; Debian: apt install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as home:
        command = [program, *QUIET, f"--user-data-dir={home}", f"--window-size={WIDTH},{HEIGHT}"]
        command += [f"--screenshot={to.resolve()}", page.resolve().as_uri()]
        subprocess.run(command, capture_output=True, check=True, timeout=TIMEOUT_S)
    return 0


def colours(png: bytes) -> Pixels:
    """How many pixels of each colour are in a PNG of the kind that Chromium writes: 8 bits, RGB or RGBA."""
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
    """A line of a PNG with its filter undone (PNG, 9.2)."""
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
