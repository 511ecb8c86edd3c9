"""`python -m zpinch`: the same as the command."""

from zpinch.cli import main

if __name__ == "__main__":
    main()
