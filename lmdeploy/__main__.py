"""`python -m lmdeploy`: the same as the `lmdeploy` command."""

from lmdeploy.cli import main

if __name__ == "__main__":  # doctest imports this module, too
    main()
