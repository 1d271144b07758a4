"""The program that runs inside the sandbox. Started as `python -I` with this folder, never imported:

the interpreter that runs it may be another one, it uses the standard library only, and its modules are imported
by the name `inside.*`, which exists only when this folder is what is run.
"""

raise ImportError("chroot/helper is a program: run the folder, do not import it")
