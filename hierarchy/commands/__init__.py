"""The commands, one a file: arguments to calls, and nothing more."""
