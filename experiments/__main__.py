"""List, run and write up the experiments: python -m experiments [NAME [options]]."""

from __future__ import annotations

import sys

from codegen.errors import EXIT_CODE, UserError
from experiments.common.driver import main

if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_CODE)
