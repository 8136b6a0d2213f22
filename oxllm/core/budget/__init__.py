"""Budgets, a file each: extra attempts, and memory for request bodies, request heads and held parts of answers."""
