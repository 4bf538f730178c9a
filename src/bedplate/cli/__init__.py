"""The command line: parses, calls what is below, prints. One file per noun."""
