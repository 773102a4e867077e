"""``python -m ftpcli``: the same as ``ftp``."""

from ftpcli.cli import main

main()
