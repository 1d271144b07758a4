"""The sandbox helper: namespaces, mounts, PID 1, and the verbs that need the tree's own ids.

Standard library only, Python 3.11 or newer. All that a verb needs is imported before ids are switched: as root
caller the interpreter may live in a folder that the mapped ids cannot read.
"""
