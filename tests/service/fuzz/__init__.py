"""`make fuzz`: schemathesis, in an environment of its own, against a real `gov serve`."""
