"""Results as files, by their parameters; safe to share. Standard library only, for tasks."""
