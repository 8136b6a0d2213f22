"""`python -P -m oxllm.gateway --plan-fd N`: what `oxllm serve` turns itself into."""

import sys

# msgspec takes from it what Python 3.11 has in typing anyway, and it costs the process 0.4 MB.
sys.modules["typing_extensions"] = None  # type: ignore[assignment]

from oxllm.gateway.process import main  # noqa: E402

sys.exit(main())
