"""`python -I FOLDER LIFELINE REPORT`: see inside/main.py. Small, because a __main__ is compiled every time."""

import importlib

importlib.import_module("inside.main").main()
