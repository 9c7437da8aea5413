"""HTML reports on datasets, training runs and presets.

Needs the packages of the extra ``train``. The services do not import it.
"""
