"""Training, cross-validation, tuning and ensembles of recipes. The services do not import it."""
