"""What a user asks for, as values: templates with positions, their merge, settings, and distribution data.

Text comes in here and nowhere else. May import `errors` only; anything may import this. What a build does
with the values does not belong here. Import from the modules: nothing is loaded until it is needed.
"""
