"""A private PostgreSQL of the user's: on this host, or as a job of its own on a node."""
