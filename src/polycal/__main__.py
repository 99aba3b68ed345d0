"""`python -m polycal VERB ...`."""

from polycal.cli import main

main()
