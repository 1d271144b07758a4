"""The command line: one module a verb. A verb parses, calls one door of the layer below, and renders what came.

May import everything; nothing imports it. Build logic does not belong here. What is not needed for `--help` is
imported inside the verbs, so that help is there at once.
"""
