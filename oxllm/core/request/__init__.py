"""One client request: whom to ask, what becomes of each attempt, and what the client gets."""
