"""Results by their parameters, as files: made once, whoever wants them. Standard library only."""
