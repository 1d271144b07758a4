"""Running programs in isolation, and installing packages by the target's own tools: the sandbox and its helper, the
installers, `doctor`. `process` is the one door to programs of the host. Imported by `image` and `provider`; what a
step makes of what it runs does not belong here."""
