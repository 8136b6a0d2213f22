"""Size lines of chunked coding (RFC 9112 section 7.1)."""

from __future__ import annotations

from typing import Final

SIZE_LINES: Final = [b"%x\r\n" % size for size in range(512)]
"""Those of the sizes that events usually have: compiled, formatting one takes as long as all the rest of a chunk."""
