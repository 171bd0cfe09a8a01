"""Let ``python -m nestnet.cli`` be the command."""

from nestnet.cli.main import main

main()
