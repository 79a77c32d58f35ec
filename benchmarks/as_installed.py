"""`sk` as a gateway has it: without what only development packages bring.

structlog takes `rich` wherever it finds it, 5 MB that import-linter brings to this installation and none to a gateway.
"""

import sys

sys.modules["rich"] = None  # type: ignore[assignment]  # from here on it cannot be imported

from sitekeeper.commands import main  # noqa: E402

if __name__ == "__main__":
    sys.argv[0] = "sk"
    main()
