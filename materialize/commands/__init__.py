"""The commands of the command line, a few to a module; `materialize.cli` finds them by name."""
