"""``python -m lakehold.cli``."""

from lakehold.cli import main

main()
