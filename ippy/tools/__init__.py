"""Ways into the course from outside: scans of one's own."""
