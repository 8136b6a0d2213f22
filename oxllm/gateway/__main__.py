"""`python -P -m oxllm.gateway --plan-fd N`: what `oxllm serve` turns itself into."""

import os
import signal
import sys
import threading

from oxllm.early import end_at_once

end_at_once()
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})  # `oxllm serve` holds them back until here

# msgspec takes from it what Python 3.11 has in typing anyway, and it costs the process 0.4 MB.
sys.modules["typing_extensions"] = None  # type: ignore[assignment]

from oxllm.gateway.later import postpone  # noqa: E402

postpone()

from oxllm.gateway.process import main  # noqa: E402

code = main()
if threading.active_count() > 1:
    # A resolver's thread. In a getaddrinfo that hangs it would be waited for, for as long as that takes.
    os._exit(code)
sys.exit(code)
