"""`python -m topfive`, the same as the command `topfive`."""

from topfive.cli import main

main()
