"""The bytes of bodies and streams, and our own error objects."""
