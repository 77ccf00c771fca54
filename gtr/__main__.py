"""``python -m gtr`` is the ``gtr`` program."""

from gtr.cli import main

if __name__ == "__main__":
    main()
