"""The checks of the course; a package, because installed ones bring a `tests` of their own."""
