"""What may be spent: extra attempts, and memory for bodies, heads and what is held of answers. A file each."""
