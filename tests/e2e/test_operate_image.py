"""The image's HEALTHCHECK, word for word, beside a running gateway."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.user import config, gateway

DOCKERFILE = (Path(__file__).parents[2] / "Dockerfile").read_text(encoding="utf-8")
SETTINGS = '[server]\nport = 0\nadmin_token = "hush"\ndrain_delay_secs = 5\n'


def healthcheck(run_dir: Path) -> int:
    found = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    command = [part.replace("/run/oxllm/", f"{run_dir}/") for part in json.loads(found[1])]
    command[0] = sys.executable
    return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60, check=False).returncode


def test_the_image_is_healthy_while_it_serves_and_not_while_it_drains_or_is_gone(tmp_path: Path) -> None:
    text = config({"alpha": "http://127.0.0.1:1/v1"}, {"smart": ["alpha"]}, settings=SETTINGS)
    with gateway(tmp_path, text) as running:
        assert healthcheck(tmp_path / "run" / "oxllm") == 0
        os.kill(running.pid, signal.SIGTERM)
        running.process.wait_until(lambda: "drain: stopping" in running.log())
        assert healthcheck(tmp_path / "run" / "oxllm") == 1
    assert healthcheck(tmp_path / "run" / "oxllm") == 1
