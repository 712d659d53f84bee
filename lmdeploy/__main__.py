"""`python -m lmdeploy`: the same as the `lmdeploy` command."""

from lmdeploy.cli import main

main()
