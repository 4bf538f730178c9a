"""One file per contestant; a file is imported only by that contestant's own worker."""
