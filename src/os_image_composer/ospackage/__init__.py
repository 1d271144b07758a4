"""Which packages, from where, and are they what was signed: metadata, solving, locks, fetching, keys. What families
share lies here, what differs in a folder each, found by its name (`family`). `transport` is the one door to
HTTP. Runs no program and knows no image."""
