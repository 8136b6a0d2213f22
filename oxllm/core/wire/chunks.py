"""What stands before each chunk of a body in chunked coding (RFC 9112 section 7.1)."""

from __future__ import annotations

from typing import Final

SIZE_LINES: Final = [b"%x\r\n" % size for size in range(512)]
"""Those of usual events: compiled, a hexadecimal number takes as long as all the rest of a chunk."""
