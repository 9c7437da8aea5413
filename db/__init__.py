"""Schema, migrations, job queue, audit log, file store and queries."""
