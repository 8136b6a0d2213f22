"""`python -P -m oxllm.gateway --plan-fd N`: what `oxllm serve` turns itself into."""

import sys

from oxllm.gateway.process import main

sys.exit(main())
