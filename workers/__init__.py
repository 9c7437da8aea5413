"""The work: Celery rings, rows say what to do; analysis, result objects, delivery to the PACS."""
