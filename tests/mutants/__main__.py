"""Plants each bug in a copy of the package, runs the tests that must find it, prints who was killed.

Exit 1 if a bug survives any of its tests, 2 if a plant does not fit the code.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.plants import PLANTS, Plant

ROOT = Path(__file__).parents[2]
COPIED = ("oxllm", "tests", "pyproject.toml")
WITHIN_S = 60
"""A bug that makes a test hang is found too."""
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "bench", "soak", "e2e")


def fits(plant: Plant, root: Path = ROOT) -> str | None:
    """Why a plant does not fit the code; None if it does."""
    found = (root / plant.file).read_text(encoding="utf-8").count(plant.old)
    return None if found == 1 else f"{plant.name}: what it replaces is {found} times in {plant.file}"


def survivors(plant: Plant) -> tuple[list[str], float]:
    """Which of its killers do not notice the bug, and the seconds that they took."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="oxllm-mutant-") as directory:
        root = Path(directory)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=IGNORED)
            else:
                shutil.copy(ROOT / name, root / name)
        file = root / plant.file
        file.write_text(file.read_text(encoding="utf-8").replace(plant.old, plant.new), encoding="utf-8")
        said = _run(root, plant.killers)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    blind = [killer for killer in plant.killers if not any(line.startswith(killer) for line in failed)]
    return blind, time.monotonic() - begun


def _run(root: Path, killers: Sequence[str]) -> str:
    """What pytest says; a run that hangs has failed all."""
    options = ["-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", "--no-header"]
    command = [sys.executable, "-m", "pytest", *options, *killers]
    env = {**os.environ, "COLUMNS": "500", "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    env["HYPOTHESIS_PROFILE"] = "mutants"
    try:
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        return "\n".join(f"FAILED {killer}" for killer in killers)
    return done.stdout


def main(wanted: Sequence[str]) -> int:
    """Plant those whose name holds one of `wanted`, or all."""
    plants = [plant for plant in PLANTS if not wanted or any(word in plant.name for word in wanted)]
    misfits = [why for plant in plants if (why := fits(plant))]
    if misfits:
        print("\n".join(misfits))
        return 2
    begun = time.monotonic()
    with ThreadPoolExecutor(max(2, (os.cpu_count() or 2) // 2)) as workers:
        results = dict(zip(plants, workers.map(survivors, plants), strict=True))
    width = max(len(plant.name) for plant in plants)
    for plant, (blind, seconds) in results.items():
        fate = "SURVIVED" if blind else "killed"
        count = len(plant.killers) - len(blind)
        print(f"{plant.name:{width}}  {fate:8}  by {count} of {len(plant.killers)} in {seconds:.0f} s")
        for killer in blind:
            print(f"{'':{width}}    not by {killer}")
    alive = sum(bool(blind) for blind, _ in results.values())
    print(f"{len(plants) - alive} of {len(plants)} killed in {time.monotonic() - begun:.0f} s")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
