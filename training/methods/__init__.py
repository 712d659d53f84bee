"""One method, one file; METHODS is a plain dict."""
