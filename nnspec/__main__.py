"""``python -m nnspec`` is the command ``nnspec``."""

from nnspec.cli import main

if __name__ == "__main__":
    main()
