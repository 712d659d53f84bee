"""One file a command: options in, one library call, exit code out."""
