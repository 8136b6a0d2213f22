"""Who can serve a name, what is known of each, and who is next."""
