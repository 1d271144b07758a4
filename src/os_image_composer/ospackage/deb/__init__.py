"""What is Debian's own: signed indexes, apt's choice of candidates and packages, version order, relations, and the
files in a package. Seen from elsewhere through `family` only."""
