"""The `gov` command. Each command is a module of this package with one click command called `command`; `main` loads it when it is asked for."""
