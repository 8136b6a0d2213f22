"""`python -P -m oxllm.gateway --plan-fd N`: what `oxllm serve` becomes."""

import os
import signal
import sys
import threading

from oxllm.early import end_at_once

end_at_once()
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})  # blocked by `oxllm serve` until here

# msgspec imports from it only what Python 3.11's typing has anyway, and it costs the process 0.4 MB.
sys.modules["typing_extensions"] = None  # type: ignore[assignment]

from oxllm.gateway.later import postpone  # noqa: E402

postpone()

from oxllm.gateway.process import main  # noqa: E402

code = main()
if threading.active_count() > 1:
    # A resolver thread. A normal exit would wait for it, for as long as its getaddrinfo hangs.
    os._exit(code)
sys.exit(code)
