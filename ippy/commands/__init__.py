"""The command line: one file a command, its parser beside its handler."""
