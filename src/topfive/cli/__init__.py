"""The command line. A command parses, calls one library function and prints; heavy imports stay inside the commands."""

from topfive.cli.app import main

__all__ = ["main"]
