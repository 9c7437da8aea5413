"""Rows: schema, migrations, job queue, audit chain and queries. Knows neither DICOM objects nor networks."""
