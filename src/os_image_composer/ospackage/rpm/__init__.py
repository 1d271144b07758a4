"""What is RPM's own: repository metadata, solving with its relations, and its package files. Seen from elsewhere
through `family` only; nothing here runs a program or needs rpm on the build host."""
