"""The command line, `studio-avatar`: one module a command in `commands/`."""
