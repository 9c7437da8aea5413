"""How good a preset is, told to people: figures with intervals, plots, checks of explanations.

Needs the optional packages of the extra ``train``; no service imports it.
"""
