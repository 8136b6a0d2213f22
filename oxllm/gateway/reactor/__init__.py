"""Sockets served beside asyncio rather than by it (Linux), and the same interface on asyncio's own transports."""
