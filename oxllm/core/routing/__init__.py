"""Which targets can serve a model name, what is known of each, and which is next."""
